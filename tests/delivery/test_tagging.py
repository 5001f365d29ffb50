import shutil
import threading
import time
from pathlib import Path

import pytest

from delivery import git, registry, tagging
from delivery.tagging import TaggingError
from tests.delivery.tagged import ENVIRONMENT, Tagged


@pytest.fixture(autouse=True)
def _identity(monkeypatch):
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A clone, the working folder, whose origin has a version that is in staging."""
    origin = Tagged(tmp_path / "upstream")
    origin.tag("mnist@v0.1.0", "a", after=-1000_000_000)
    origin.tag("mnist#staging#1", "a")
    origin.commit("b")
    return clone(origin.bare(tmp_path / "origin.git"), tmp_path / "mine", monkeypatch)


def clone(origin, path, monkeypatch):
    made = Tagged(path)
    made.git("remote", "add", "origin", str(origin))
    made.git("fetch", "--quiet", "--tags", "origin")
    made.git("checkout", "--quiet", "-B", "main", "origin/main")
    monkeypatch.chdir(path)
    return made


def current(stage="staging"):
    found = registry.current(".", "mnist", stage)
    return found and found.name


def test_gto_registers_and_assigns(mine):
    made = tagging.register("mnist", "v0.2.0", "-x\n\n# not a comment\n$(id) 'it' \"is\"")
    entry = tagging.assign("mnist", "staging", made, "--force")

    assert made.commit == mine.git("rev-parse", "HEAD")
    assert made.message == "-x\n\n# not a comment\n$(id) 'it' \"is\""
    assert (entry.tag, entry.message, entry.by) == ("mnist#staging#2", "--force", "Ann")
    assert current() == "v0.2.0"


def test_a_version_that_was_there_before_comes_back(mine):
    first = registry.current(".", "mnist", "staging")
    tagging.assign("mnist", "staging", tagging.register("mnist", "v0.2.0", "why"), "why")
    entry = tagging.assign("mnist", "staging", first, "back")

    assert entry.tag == "mnist#staging#3"
    assert current() == "v0.1.0"
    assert "mnist#staging#1" in mine.git("tag")


def test_a_version_that_exists_is_refused_in_gto_s_words(mine):
    with pytest.raises(TaggingError, match=r"`gto register` refuses: .*Version 'v0.1.0' already was registered\.$"):
        tagging.register("mnist", "v0.1.0", "why")


def test_without_gto_on_the_path_it_is_said_how_to_put_it_there(mine, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(shutil.which("git"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(TaggingError, match=r"gto: not found; put the environment on the path: `source"):
        tagging.register("mnist", "v0.2.0", "why")


def test_nobody_s_name_is_asked_for(mine, monkeypatch):
    monkeypatch.setenv("HOME", str(mine.path))  # GTO looks there, whatever GIT_CONFIG_GLOBAL says
    for key in ENVIRONMENT:
        if "NAME" in key or "EMAIL" in key:
            monkeypatch.delenv(key)
    with pytest.raises(TaggingError, match=r"must be configured; name yourself with `git config user.name` and "):
        tagging.register("mnist", "v0.2.0", "why")


def test_a_clock_that_is_behind_is_refused(mine):
    mine.tag("mnist#staging#7", "x", after=2_000_000_000, by="Ben")
    with pytest.raises(
        TaggingError, match=r"tag mnist#staging#7 of Ben is dated \d+ seconds after this machine's clock"
    ):
        tagging.assign("mnist", "staging", registry.read(".", "mnist").versions[0], "why")
    assert "mnist#staging#8" not in mine.git("tag")


def test_what_is_shared_is_at_the_origin_with_what_it_needs(mine, capsys):
    version = tagging.register("mnist", "v0.2.0", "why")
    entry = tagging.assign("mnist", "staging", version, "why")
    tagging.share("mnist", version.tag, entry.tag, push=False)
    command = capsys.readouterr().out.removeprefix("share it with: ")
    assert command == "git push origin mnist@v0.2.0 'mnist#staging#2'\n"
    assert registry.current("../origin.git", "mnist", "staging").name == "v0.1.0"

    tagging.share("mnist", version.tag, entry.tag, push=True)
    assert registry.current("../origin.git", "mnist", "staging").name == "v0.2.0"


def test_nothing_is_said_of_sharing_where_there_is_nobody(mine, capsys):
    mine.git("remote", "remove", "origin")
    tagging.share("mnist", "mnist@v0.1.0", push=False)
    assert capsys.readouterr().out == ""


def test_who_pushes_first_wins(mine, monkeypatch):
    mine.commit("c")
    theirs = clone("../origin.git", mine.path.parent / "theirs", monkeypatch)
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ben")
    ben_s = tagging.register("mnist", "v0.2.0", "Ben's")

    monkeypatch.chdir(mine.path)
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ann")
    ann_s = tagging.register("mnist", "v0.2.0", "Ann's")
    monkeypatch.chdir(theirs.path)
    tagging.share("mnist", ben_s.tag, push=True)
    monkeypatch.chdir(mine.path)
    with pytest.raises(TaggingError) as caught:
        tagging.share("mnist", ann_s.tag, push=True)

    assert str(caught.value) == (
        f"tag mnist@v0.2.0 was pushed to origin first by Ben, for commit {ben_s.commit[:7]}: yours is taken back; "
        f"look at `make versions`, then try again"
    )
    assert registry.read(".", "mnist").find("v0.2.0") == ben_s
    assert registry.read("../origin.git", "mnist").find("v0.2.0") == ben_s


def test_nothing_is_lost_where_origin_can_t_be_reached(mine):
    version = tagging.register("mnist", "v0.2.0", "why")
    origin = Path("../origin.git").rename("../elsewhere.git")
    with pytest.raises(
        TaggingError, match=r"made mnist@v0.2.0, but origin did not take it; share it with: git push or"
    ):
        tagging.share("mnist", version.tag, push=True)
    origin.rename("../origin.git")
    tagging.share("mnist", version.tag, push=True)
    assert registry.read("../origin.git", "mnist").find("v0.2.0") == version


def test_what_others_have_shared_is_fetched(mine, monkeypatch):
    theirs = clone("../origin.git", mine.path.parent / "theirs", monkeypatch)
    theirs.tag("mnist#staging#2", "c")
    theirs.tag("other@v0.1.0", "c")
    theirs.git("push", "--quiet", "origin", "--tags")
    monkeypatch.chdir(mine.path)
    tagging.fetch("mnist")

    assert mine.git("tag").split() == ["mnist#staging#1", "mnist#staging#2", "mnist@v0.1.0"]


def test_a_tag_that_was_moved_at_the_origin_is_refused(mine, monkeypatch):
    theirs = clone("../origin.git", mine.path.parent / "theirs", monkeypatch)
    theirs.tag("mnist@v0.1.0", "c", by="Eve")
    theirs.tag("mnist#staging#2", "c")
    theirs.git("push", "--quiet", "--force", "origin", "--tags")
    monkeypatch.chdir(mine.path)
    before = git.listed(".")
    with pytest.raises(TaggingError) as caught:
        tagging.fetch("mnist")

    assert str(caught.value).startswith("not the same here and on origin: mnist@v0.1.0; tags never move. ")
    assert git.listed(".") == before
    take = str(caught.value).split("`")[1]
    assert take == "git tag --delete mnist@v0.1.0 && git fetch origin --tags"
    mine.git("tag", "--delete", "mnist@v0.1.0")
    tagging.fetch("mnist")
    assert registry.current(".", "mnist", "staging").by == "Eve"


def test_a_tag_that_was_deleted_at_the_origin_stays_here_and_is_shared_again(mine):
    git.git("../origin.git", "tag", "--delete", "mnist@v0.1.0")
    tagging.fetch("mnist")
    assert current() == "v0.1.0"
    entry = tagging.assign("mnist", "production", registry.current(".", "mnist", "staging"), "why")
    tagging.share("mnist", "mnist@v0.1.0", entry.tag, push=True)
    assert registry.current("../origin.git", "mnist", "production").name == "v0.1.0"


def test_only_one_at_a_time_writes_tags(mine):
    order = []

    def second():
        with tagging.alone():
            order.append("second")

    with tagging.alone():
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
