"""Dependabot and people push to each other's branches: whoever did, one of the two workflows comments, and once.

The jobs are executed on a project in which every step is there and does nothing.
"""

import sys

import pytest

from tests.e2e.github.server import FORK, REPOSITORY, Server
from tests.e2e.project import ROOT, Project

pytestmark = pytest.mark.e2e

DEPENDABOT, PERSON = "dependabot[bot]", "colleague"
FILES = {
    "Makefile": (
        ".PHONY: .venv/installed-dev plots\n"
        ".venv/installed-dev:\n"
        "\trm .venv/bin && mkdir .venv/bin && ln -s $(PYTHON) .venv/bin/python && cp dvc .venv/bin\n"
        "plots:\n\tmkdir dvc_plots && touch dvc_plots/a.png\n"
    ),
    "dvc": "#!/bin/sh\n",
    "reporting/verify.py": "",
    "reporting/report.py": "open('report.md', 'w').write('## fine\\n')\n",
    "requirements.lock": "",
    "models/model.onnx": "",
    "models/model.safetensors": "",
    "results/metrics.json": "{}\n",
}


@pytest.fixture
def server(env, tmp_path):
    project = Project(tmp_path / "project", env | {"PYTHON": sys.executable})
    workflows = {f".github/workflows/{name}.yml" for name in ("ml-pipeline", "post-report")}
    for name, text in (FILES | {name: (ROOT / name).read_text() for name in workflows}).items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    (project / "dvc").chmod(0o755)
    project.git("init", "--quiet", "--initial-branch", "main")
    project.commit()
    project.git("switch", "--quiet", "--create", "change")
    project.git("commit", "--quiet", "--allow-empty", "--message", "change")
    return Server(project, tmp_path / "github")


@pytest.mark.parametrize(
    ("author", "actor", "source", "by_itself"),
    [
        (PERSON, PERSON, REPOSITORY, True),
        (DEPENDABOT, PERSON, REPOSITORY, True),  # a person pushed to Dependabot's branch: the token may write
        (PERSON, DEPENDABOT, REPOSITORY, False),  # and the other way round
        (DEPENDABOT, DEPENDABOT, REPOSITORY, False),
        (PERSON, PERSON, FORK, False),
    ],
)
def test_one_of_the_two_comments(server, author, actor, source, by_itself):
    first = server.pull_request(source, author, actor)

    assert first.passed, first.output
    assert ("Comment" in first.steps) == by_itself == (not server.artifact("report").exists())
    assert len(server.comments()) == by_itself

    second = server.completed(source, actor)

    assert second.passed, second.output
    assert ("Comment" in second.steps) != by_itself
    assert [text.endswith("## fine\n") for text in server.comments().values()] == [True]
