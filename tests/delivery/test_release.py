import json
import subprocess
import sys
from pathlib import Path

import pytest

from delivery import registry, release, tagging
from delivery.release import ReleaseError
from tests.delivery.released import ROOT
from tests.delivery.tagged import ENVIRONMENT, Tagged


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A first version, long ago, and a new model at the head; `make verify` content, report written."""
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    made = Tagged(tmp_path / "repository")
    made.seconds = -1_000_000_000
    made.trained("a")
    made.tag("mnist@v0.0.1", "a")
    made.trained("b")
    monkeypatch.chdir(made.path)
    monkeypatch.setattr(release, "not_verified", lambda: [])
    monkeypatch.setattr(release, "notes", lambda newest: f"notes since {newest and newest.name}")
    return made


# Before the fixture above takes their place.
NOTES, NOT_VERIFIED = release.notes, release.not_verified


def answers(monkeypatch, code, said="", report=""):
    """Have any other program write this report, say this, and exit with this code."""

    def run(command, **_):
        if "--out" in command:
            Path(command[command.index("--out") + 1]).write_text(report)
        return subprocess.CompletedProcess(command, code, "", said)

    monkeypatch.setattr(release.subprocess, "run", run)


def versions():
    return {version.name: version.commit for version in registry.read(".", "mnist").versions}


@pytest.mark.parametrize(("bump", "name"), [("patch", "v0.0.2"), ("minor", "v0.1.0"), ("major", "v1.0.0")])
def test_the_head_becomes_the_next_version(repository, capsys, bump, name):
    release.release("mnist", bump)
    assert versions() == {"v0.0.1": repository.commit("a"), name: repository.commit("b")}
    assert registry.read(".", "mnist").find(name).message == f"mnist {name}\n\nnotes since v0.0.1"
    assert capsys.readouterr().out == (
        f"mnist {name}\n\nnotes since v0.0.1\n\n"
        f"mnist {name}: registered commit {repository.commit('b')[:7]} by tag mnist@{name}\n"
    )


@pytest.mark.parametrize(("bump", "name"), [("patch", "v0.0.1"), ("minor", "v0.1.0"), ("major", "v1.0.0")])
def test_the_first_version_counts_from_nothing(repository, bump, name):
    repository.git("tag", "--delete", "mnist@v0.0.1")
    release.release("mnist", bump)
    assert versions() == {name: repository.commit("b")}


def test_a_withdrawn_version_s_name_is_not_used_again(repository):
    repository.tag("mnist@v0.0.2", "x")
    repository.tag("mnist@v0.0.2!", "x")
    repository.trained("c")
    release.release("mnist", "patch")
    assert list(versions()) == ["v0.0.1", "v0.0.3"]


def test_once_more_is_no_error_and_no_version(repository, capsys):
    release.release("mnist", "patch")
    before = versions()
    capsys.readouterr()
    release.release("mnist", "minor")
    assert capsys.readouterr().out == "this commit is mnist v0.0.2 already: nothing to release\n"
    assert versions() == before


def test_a_commit_that_changes_no_model_needs_no_version(repository, capsys):
    release.release("mnist", "patch")
    repository.write("README.md", "other words")
    repository.commit("words")
    capsys.readouterr()
    release.release("mnist", "patch")
    assert capsys.readouterr().out == "the model is that of mnist v0.0.2: nothing to release\n"
    assert len(versions()) == 2


def test_a_model_that_comes_back_is_a_version_of_its_own(repository):
    release.release("mnist", "patch")
    repository.write("README.md", "as it was")
    repository.trained("a-again")
    repository.write("dvc.lock", repository.git("show", "mnist@v0.0.1:dvc.lock"))
    repository.commit("the first model")
    release.release("mnist", "patch")
    assert list(versions()) == ["v0.0.1", "v0.0.2", "v0.0.3"]


def test_two_people_at_once_the_first_push_wins(repository, monkeypatch):
    origin = repository.bare(repository.path.parent / "origin.git")
    repository.git("remote", "add", "origin", str(origin))
    theirs = Tagged(repository.path.parent / "theirs")
    theirs.git("remote", "add", "origin", str(origin))
    theirs.git("fetch", "--quiet", "--tags", "origin")
    theirs.git("checkout", "--quiet", "-B", "main", repository.commit("b"))
    theirs.git("tag", "--annotate", "--message", "Ben's", "mnist@v0.0.2", GIT_COMMITTER_NAME="Ben")
    hook = repository.path / ".git/hooks/pre-push"
    hook.write_text(f"#!/bin/sh\nunset GIT_DIR\ngit -C '{theirs.path}' push --quiet origin mnist@v0.0.2\n")
    hook.chmod(0o755)

    with pytest.raises(tagging.TaggingError, match=r"tag mnist@v0.0.2 was pushed to origin first by Ben, for commit"):
        release.release("mnist", "patch", push=True)
    found = registry.read(".", "mnist").find("v0.0.2")
    assert (found.by, found.message) == ("Ben", "Ben's")
    release.release("mnist", "patch", push=True)  # what the error says: try again
    assert registry.read(origin, "mnist") == registry.read(".", "mnist")
    assert len(versions()) == 2


def violated(*names):
    return [{"metric": "epochs", "passed": True}, *({"metric": name, "passed": False} for name in names)]


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        ({"passed": False, "limits": violated("errors", "accuracy")}, "limits violated: errors, accuracy"),
        ({"passed": True, "limits": violated("errors")}, "limits violated: errors"),
        ({"passed": False}, "no verdict that can be read"),
        ({"passed": "true"}, "no verdict that can be read"),
        ({"limits": [{}]}, "no verdict that can be read"),
    ],
)
def test_a_check_that_has_not_passed_is_refused(repository, verdict, text):
    repository.trained("c", **verdict)
    with pytest.raises(ReleaseError, match=rf"check has not passed \(results/check/verdict.json: {text}\)"):
        release.release("mnist", "patch")
    assert len(versions()) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", None])
def test_a_verdict_that_is_none_is_refused(repository, content):
    path = repository.path / "results/check/verdict.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    repository.commit("c")
    with pytest.raises(ReleaseError, match="no verdict that can be read"):
        release.release("mnist", "patch")


def test_the_verdict_counts_as_committed(repository):
    repository.trained("c", passed=False)
    path = repository.path / "results/check/verdict.json"
    path.write_text(json.dumps({"passed": True, "limits": []}))
    with pytest.raises(ReleaseError) as caught:
        release.release("mnist", "patch")
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("check has not passed")
    assert lines[2] == (
        "changed since the commit: results/check/verdict.json; commit that, or put it away with `git stash`"
    )


def test_what_verify_complains_about_is_said_with_the_rest(repository, monkeypatch):
    repository.trained("c", passed=False)
    monkeypatch.setattr(release, "not_verified", lambda: ["dvc.lock is stale"])
    with pytest.raises(ReleaseError) as caught:
        release.release("mnist", "patch")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"commit {repository.commit('c')[:7]} can't become a version"
    assert lines[1].startswith("check has not passed")
    assert lines[2:] == ["dvc.lock is stale"]


def test_what_is_not_on_main_is_refused_where_there_is_one(repository):
    origin = repository.bare(repository.path.parent / "origin.git")
    repository.git("remote", "add", "origin", str(origin))
    repository.git("fetch", "--quiet", "origin")
    repository.trained("c")
    with pytest.raises(ReleaseError, match="it is not part of origin/main; merge it, or push it"):
        release.release("mnist", "patch")
    repository.git("push", "--quiet", "origin", "main")
    release.release("mnist", "patch", push=True)
    assert registry.read(origin, "mnist").find("v0.0.2").commit == repository.commit("c")
    release.release("mnist", "patch", push=True)
    assert len(versions()) == 2


@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock"])
@pytest.mark.parametrize("content", ["", "- a list", "{", "artifacts: {mnist: {}}", "stages: {}"])
def test_a_commit_without_a_model_is_said(repository, name, content):
    repository.write(name, content)
    repository.commit("broken")
    with pytest.raises(ReleaseError, match=r"commit \w{7}: dvc.yaml has no artifact 'mnist'|not valid YAML"):
        release.release("mnist", "patch")


def test_the_notes_are_the_report_without_its_folded_parts(repository, monkeypatch):
    newest = registry.read(".", "mnist").find("v0.0.1")
    assert NOTES(None) == "# Model card\n\nModel b"
    answers(monkeypatch, 0, report="## Kept\n\nfacts\n\n<details>\nmore\n</details>\nend\n")
    assert NOTES(newest) == (
        "## Kept\n\nfacts\n\nAll of it: `make report BASE=mnist@v0.0.1`, with this version checked out"
    )
    answers(monkeypatch, 1, said="error: no base\n")
    with pytest.raises(ReleaseError, match="the release notes can't be written: error: no base"):
        NOTES(newest)


def test_verify_is_quoted(monkeypatch):
    answers(monkeypatch, 1, said="dvc.lock is stale\n")
    assert NOT_VERIFIED() == ["dvc.lock is stale"]
    answers(monkeypatch, 0, said="a warning")
    assert NOT_VERIFIED() == []


def test_the_options_of_the_command(repository, monkeypatch):
    repository.write("params.yaml", (ROOT / "params.yaml").read_bytes())
    repository.commit("params")
    monkeypatch.setattr(sys, "argv", ["release", "--bump=major"])
    release.main()
    assert list(versions()) == ["v0.0.1", "v1.0.0"]
