""".github/workflows/post-report.yml, executed: it posts a fork's report, trusts nothing in it, runs nothing of it."""

import pytest

from tests.e2e.github.server import FORK, NUMBER, Server
from tests.e2e.project import ROOT, Project

pytestmark = pytest.mark.e2e

COMMENT = f"{NUMBER}-ml-pipeline"


@pytest.fixture
def server(env, tmp_path):
    """A repository with the workflows and a branch; no run has left an artifact yet."""
    project = Project(tmp_path / "project", env)
    workflow = project / ".github/workflows/post-report.yml"
    workflow.parent.mkdir(parents=True)
    project.git("init", "--quiet", "--initial-branch", "main")
    workflow.write_bytes((ROOT / ".github/workflows/post-report.yml").read_bytes())
    project.commit()
    project.git("switch", "--quiet", "--create", "change")
    project.git("commit", "--quiet", "--allow-empty", "--message", "change")
    return Server(project, tmp_path / "github")


def upload(server, content):
    artifact = server.artifact("report")
    artifact.mkdir(parents=True)
    (artifact / "report.md").write_bytes(content)
    return artifact


def test_the_report_is_posted_to_the_pull_request_that_github_names(server):
    artifact = upload(server, "## ✅ fine\n".encode())
    (artifact / "number").write_text("1\n")
    run = server.completed()

    assert run.passed, run.output
    assert list(server.comments()) == [COMMENT]
    note, _, rest = server.comments()[COMMENT].partition("\n\n")
    assert note.startswith("> [!NOTE]\n> Written by the code of this pull request")
    assert rest == "## ✅ fine\n"


def test_a_report_of_an_older_commit_is_not_posted(server):
    upload(server, b"fine\n")
    run = server.completed(newest=server.commit("main"))

    assert run.passed, run.output
    assert server.comments() == {}


def test_a_run_without_a_report_ends_quietly(server):
    run = server.completed()

    assert run.passed, run.output
    assert server.comments() == {}


def test_a_report_that_is_too_long_is_cut_at_a_whole_character_and_posted_without_what_is_no_utf_8(server):
    upload(server, b"fi\xff\xfene\x80" + ("🟧" * 70_000).encode())
    assert server.completed().passed

    text = server.comments()[COMMENT].partition("\n\n")[2]
    assert text == "fine" + "🟧" * 59_996


def test_a_report_of_nothing_but_mentions_fits_and_notifies_nobody(server):
    upload(server, b"@a" * 50_000)
    assert server.completed().passed

    text = server.comments()[COMMENT]
    assert "@a" not in text
    assert "@\u200ba" in text


def test_a_link_in_place_of_the_report_is_refused(server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    artifact = server.artifact("report")
    artifact.mkdir(parents=True)
    (artifact / "report.md").symlink_to(secret)
    run = server.completed()

    assert not run.passed
    assert run.failed == ["Take the text"]
    assert server.comments() == {}


@pytest.mark.parametrize(
    "branch", ["$(touch${IFS}$HOME/owned)`touch${IFS}$HOME/owned`;touch${IFS}$HOME/owned", "\"quo'te&number=1|b<i>"]
)
def test_a_hostile_branch_name_is_only_a_name(server, env, branch, tmp_path):
    server.project.git("switch", "--quiet", "--create", branch)
    server.project.env = env | {"HOME": str(tmp_path)}
    artifact = upload(server, b"$(touch $HOME/owned) `touch $HOME/owned` ${{ github.token }}\n::error::no\n")
    (artifact / "pathlib.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n")
    for name in ("cml", "gh", "python3"):
        (artifact / name).write_text("#!/bin/sh\ntouch $HOME/owned\n")
        (artifact / name).chmod(0o755)
    run = server.completed(source=FORK)

    assert run.passed, run.output
    assert server.comments()[COMMENT].endswith("`touch $HOME/owned` ${{ github.token }}\n::error::no\n")
    assert not (tmp_path / "owned").exists()
