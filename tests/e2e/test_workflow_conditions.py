"""What the workflows decide by themselves, executed on a project in which every step is there and does nothing."""

import pytest

from tests.e2e.github.idle import WORDS, idle
from tests.e2e.github.server import FORK, REPOSITORY, Server
from tests.e2e.project import ROOT

pytestmark = pytest.mark.e2e

DEPENDABOT, PERSON = "dependabot[bot]", "colleague"
COMMENT = "7-ml-pipeline"


@pytest.fixture
def server(env, tmp_path):
    return Server(idle(tmp_path / "project", env), tmp_path / "github")


# Dependabot and people push to each other's branches.
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
def test_one_of_the_two_workflows_comments_and_once(server, author, actor, source, by_itself):
    first = server.pull_request(source, author, actor)

    assert first.passed, first.output
    assert ("Comment" in first.steps) == by_itself == (not server.artifact("report").exists())
    assert len(server.comments()) == by_itself

    second = server.completed(source, actor)

    assert second.passed, second.output
    assert ("Comment" in second.steps) != by_itself
    assert [text.endswith(WORDS) for text in server.comments().values()] == [True]


def test_a_newer_commit_updates_the_comment(server):
    assert server.pull_request().passed
    assert server.comments() == {COMMENT: WORDS}
    (server.project / "words.md").write_text("## better\n")
    server.project.commit()
    run = server.pull_request()

    assert run.passed, run.output
    assert server.comments() == {COMMENT: "## better\n"}


def test_a_push_is_compared_with_what_was_there_before_and_reported_without_a_comment(server):
    before = server.commit("main")
    server.project.git("switch", "--quiet", "main")
    server.project.git("commit", "--quiet", "--allow-empty", "--message", "one")
    server.project.git("commit", "--quiet", "--allow-empty", "--message", "two")
    run = server.push(before)

    assert run.passed, run.output
    assert f"asked for --base {before} --out report.md" in run.output
    assert run.summary == WORDS
    assert server.comments() == {}
    assert not server.artifact("report").exists()


@pytest.mark.parametrize(
    ("name", "event", "base"),
    [
        ("push", {"before": "0" * 40}, "HEAD"),  # a first push has nothing before it
        ("workflow_dispatch", {}, "HEAD^"),
    ],
)
def test_where_github_names_no_base_there_is_one(server, name, event, base):
    run = server.run("ml-pipeline", name, event, job="pipeline")

    assert run.passed, run.output
    assert f"asked for --base {base} --out report.md" in run.output


def test_a_release_that_is_run_again_deploys_what_was_assigned_before_it_failed(env, tmp_path):
    path = ".github/workflows/ml-pipeline.yml"
    alone = (ROOT / path).read_text().replace("    needs: [tests, pipeline]\n", "")
    server = Server(
        idle(tmp_path / "project", env, {path: alone, "delivery/release.py": "", "delivery/promote.py": ""}),
        tmp_path / "github",
    )
    server.project.git("switch", "--quiet", "main")
    for number in (9, 10):  # not in the order of the alphabet
        server.project.git("tag", "--annotate", "--message", "assigned", f"mnist#staging#{number}")
    for attempt, dispatched in (
        (1, []),
        (2, [{"file": "deploy.yml", "ref": "main", "inputs": {"ref": "mnist#staging#10"}}]),
    ):
        run = server.push(server.commit(), job="release", attempt=attempt)
        assert run.passed, run.output
        assert server.dispatched() == dispatched


# Does what it is asked for, unless the name of the failing one is its own.
TOOL = '#!/bin/sh\necho "ran: ${0##*/} $*"\n[ "${0##*/}" != "$FAILING" ]\n'
LINTERS = ["ruff", "ruff", "mypy", "zizmor", "actionlint", "check-jsonschema", "check-jsonschema", "hadolint"]


@pytest.mark.parametrize(("failing", "failed", "ran"), [("", [], 9), ("mypy", ["Lint"], 3)])
def test_lint_and_unit_tests_run(env, tmp_path, failing, failed, ran):
    tests = ("s3_server.lock", "browser/package-lock.json", "prometheus/install.py")
    needed = ["pyproject.toml", *(f"tests/{name}" for name in tests)]
    files = {"Makefile": (ROOT / "Makefile").read_text()} | dict.fromkeys(needed, "")
    server = Server(idle(tmp_path / "project", env, files), tmp_path / "github")
    tools = tmp_path / "tools/bin"
    tools.mkdir(parents=True)
    for name in {*LINTERS, "python"}:
        (tools / name).write_text(TOOL)
        (tools / name).chmod(0o755)
    run = server.pull_request(job="tests", env={"STAND_IN_VENV": str(tools.parent), "FAILING": failing})

    words = [line.removeprefix("ran: ") for line in run.output.splitlines() if line.startswith("ran: ")]
    assert run.failed == failed
    assert [line.split()[0] for line in words] == [*LINTERS, "python"][:ran]
    assert failing or (words[-1].startswith("python -m pytest ") and words[-1].endswith(" -m not e2e"))
