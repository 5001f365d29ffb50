"""What is taken from a branch, and what a branch may not do: every one here could have been pushed by anybody."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from digits.storage import write_arrays
from monitoring import adopt
from monitoring.branches import AdoptionError, checked, newest
from tests.delivery.tagged import Tagged

BRANCH = "feedback/20260724T173000Z"
FUTURE = "feedback/99981231T000000Z"  # which would be the newest for ever
POINTER = "data/production.dvc"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Branches(Tagged):
    """A clone whose origin has branches of an export, with an embedded remote."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.write(POINTER, b"# of main\nouts: as on main\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "main")

    def export(self, branch: str = BRANCH, **files: bytes) -> str:
        """A branch with these files in the folder, as the export would push it; its pointer is returned."""
        names = {name.replace("_", "."): content for name, content in files.items()}
        listing = json.dumps([{"md5": md5(content), "relpath": name} for name, content in names.items()]).encode()
        pointer = str(adopt.Pointer(md5(listing), sum(map(len, names.values())), len(names)))
        objects = {md5(content): content for content in names.values()} | {f"{md5(listing)}.dir": listing}
        self.push(branch, pointer.encode(), objects)
        return pointer

    def push(self, branch: str, pointer: bytes, objects: dict[str, bytes] | None = None) -> None:
        self.git("switch", "--quiet", "--create", branch)
        self.write(POINTER, pointer)
        self.write("monitoring/adopt.py", b"raise SystemExit('code of the branch')\n")
        for name, content in (objects or {}).items():
            self.write(f".dvcstore/files/md5/{name[:2]}/{name[2:]}", content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", branch)
        self.git("update-ref", f"refs/remotes/origin/{branch}", "HEAD")
        self.git("switch", "--quiet", "main")

    def files(self) -> dict[str, bytes]:
        """What is in the work tree, without Git's own."""
        return {
            path.relative_to(self.path).as_posix(): path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }


@pytest.fixture
def branches(tmp_path, monkeypatch):
    made = Branches(tmp_path / "clone")
    monkeypatch.chdir(made.path)

    def fetch() -> None:
        """As `dvc fetch` does: what the pointer names goes into the cache, where it is to be had."""
        for path in list(Path(".dvcstore/files/md5").glob("??/*")):
            target = Path(".dvc/cache/files/md5") / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())

    monkeypatch.setattr(adopt, "fetch", fetch)
    return made


def arrays(path: Path, count: int) -> bytes:
    write_arrays(path, images=np.zeros((count, 28, 28), np.uint8), labels=np.zeros(count, np.uint8))
    return path.read_bytes()


def test_pointer_and_objects_are_taken_and_nothing_else(branches, tmp_path, monkeypatch, capsys):
    part = arrays(tmp_path / "part.npz", 3)
    pointer = branches.export(train_npz=part, holdout_npz=part[:-1], provenance_json=b"{}")
    before = branches.files()
    monkeypatch.setattr(sys, "argv", ["adopt", f"--branch={BRANCH}"])
    adopt.main()

    commit = branches.git("rev-parse", f"origin/{BRANCH}")
    assert capsys.readouterr().out == f"branch={BRANCH}\ncommit={commit}\n"
    after = branches.files()
    assert after[POINTER].decode() == f"# of main\n{pointer}"
    new = {name for name in after if name not in before and not name.startswith(".dvc/cache")}
    assert {name.rpartition("/md5/")[0] for name in new} == {".dvcstore/files"}
    assert len(new) == 4
    assert "monitoring/adopt.py" not in after


def test_without_a_name_it_is_the_newest_and_without_a_branch_none(branches, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["adopt", "--branch="])
    adopt.main()
    assert capsys.readouterr().out == "branch=\ncommit=\n"
    for name in ("feedback/20260101T000000Z", BRANCH, "feedback/20251231T000000Z", "feedback/zzz", FUTURE):
        branches.export(name, train_npz=name.encode())
    adopt.main()
    assert capsys.readouterr().out.startswith(f"branch={BRANCH}\n")


def test_the_newest_is_not_taken_if_it_was_answered_or_is_older_than_what_is_here(branches, capsys):
    branches.export("feedback/20260101T000000Z", train_npz=b"old")
    branches.export(train_npz=b"new")
    assert newest("0" * 40) == BRANCH
    assert newest(branches.git("rev-parse", f"origin/{BRANCH}")) is None
    assert capsys.readouterr().err == f"{BRANCH}: a retraining with it was proposed or refused already\n"
    branches.write(POINTER, b"outs: merged meanwhile\n")
    branches.git("commit", "--quiet", "--all", "--message", "later data")
    assert newest() is None
    assert capsys.readouterr().err == f"{BRANCH}: without the data of this commit\n"
    branches.export("feedback/20260801T000000Z", train_npz=b"newer")
    assert newest() == "feedback/20260801T000000Z"


def test_a_branch_that_is_named_is_not_taken_either_if_it_is_older(branches, monkeypatch, capsys):
    """The monitor, which asks by the branch's commit, is told: one that was lost would be tried again and again."""
    branches.export(train_npz=b"old")
    branches.write(POINTER, b"outs: merged meanwhile\n")
    branches.git("commit", "--quiet", "--all", "--message", "later data")
    before = branches.files()
    monkeypatch.setattr(sys, "argv", ["adopt", f"--branch={BRANCH}"])
    with pytest.raises(AdoptionError, match=f"^{BRANCH} is without the data of this commit, .* push another with"):
        adopt.main()
    assert capsys.readouterr().out == f"commit={branches.git('rev-parse', f'origin/{BRANCH}')}\n"
    assert branches.files() == before


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "refs/heads/feedback/1",
        "feedback/",
        "feedback/../main",
        "feedback/a b",
        "feedback/é",
        "feedback/$(touch owned)",
        "feedback/1\nproposed=true",
        "-feedback/1",
        f"feedback/{'1' * 100}",
    ],
)
def test_a_name_that_the_export_does_not_give_is_refused(branches, name):
    with pytest.raises(AdoptionError, match="is no branch of the export"):
        checked(name)


LISTED = "0" * 32
FINE = f"outs:\n- md5: {LISTED}.dir\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: production\n"


@pytest.mark.parametrize(
    "pointer",
    [
        FINE + "cmd: touch owned\n",  # DVC runs the command of a .dvc file
        FINE + "deps:\n- path: ../../etc/passwd\n",
        FINE + f"- md5: {LISTED}\n  path: ../monitoring/adopt.py\n",
        FINE.replace("path: production", "path: ../stages"),
        FINE.replace("path: production", "path: /etc"),
        FINE.replace("  hash: md5\n", "  remote: theirs\n  hash: md5\n"),
        FINE.replace(f"{LISTED}.dir", "../../../../etc/passwd.dir"),
        FINE.replace(f"{LISTED}.dir", LISTED),
        FINE.replace("size: 1", "size: -1"),
        FINE.replace("size: 1", "size: true"),
        "!!python/object/apply:os.system ['touch owned']",
        "outs: [1, 2]",
        "outs: 5",
        "[]",
        "",
        "a: &a [*a]",
        "\x00",
    ],
)
def test_a_pointer_that_says_anything_else_is_refused(branches, pointer):
    branches.push(BRANCH, pointer.encode())
    before = branches.files()
    with pytest.raises(AdoptionError, match="is not in the form that the export writes"):
        adopt.adopt(BRANCH)
    assert branches.files() == before


def test_the_form_of_the_export_is_one_that_is_taken():
    assert str(adopt.parse(FINE.encode(), BRANCH)) == FINE


@pytest.mark.parametrize("name", ["../../stages/train.py", "/etc/passwd", "code.py", "train.npz/x"])
def test_a_list_that_names_other_files_is_refused(branches, name):
    listing = json.dumps([{"md5": md5(b"x"), "relpath": name}]).encode()
    pointer = str(adopt.Pointer(md5(listing), 1, 1)).encode()
    branches.push(BRANCH, pointer, {f"{md5(listing)}.dir": listing, md5(b"x"): b"x"})
    before = branches.files()
    with pytest.raises(AdoptionError, match=r"names something else than holdout\.npz, provenance\.json, times\."):
        adopt.adopt(BRANCH)
    assert branches.files() == before


def test_a_list_that_comes_from_another_remote_is_held_to_the_same(branches, monkeypatch):
    """Then the branch has no objects, and the remote is what DVC asks."""
    listing = json.dumps([{"md5": md5(b"x"), "relpath": "../../stages/train.py"}]).encode()
    branches.push(BRANCH, str(adopt.Pointer(md5(listing), 1, 1)).encode())
    branches.write(f".dvc/cache/files/md5/{md5(listing)[:2]}/{md5(listing)[2:]}.dir", listing)
    before = branches.files()
    monkeypatch.setattr(adopt, "fetch", lambda: None)
    with pytest.raises(AdoptionError, match="names something else"):
        adopt.adopt(BRANCH)
    assert branches.files() == before


def test_an_object_that_is_not_what_its_name_says_is_refused(branches):
    listing = json.dumps([{"md5": md5(b"right"), "relpath": "train.npz"}]).encode()
    pointer = str(adopt.Pointer(md5(listing), 1, 1)).encode()
    branches.push(BRANCH, pointer, {f"{md5(listing)}.dir": listing, md5(b"right"): b"wrong"})
    before = branches.files()
    with pytest.raises(AdoptionError, match="has another MD5 sum"):
        adopt.adopt(BRANCH)
    assert branches.files() == before


def test_a_branch_that_is_not_there_or_has_no_pointer_is_refused(branches):
    with pytest.raises(AdoptionError, match=f"origin has no branch {BRANCH}; push another"):
        adopt.adopt(BRANCH)
    branches.push(BRANCH, b"x")
    branches.git("switch", "--quiet", BRANCH)
    branches.git("rm", "--quiet", POINTER)
    branches.git("commit", "--quiet", "--message", "gone")
    branches.git("update-ref", f"refs/remotes/origin/{BRANCH}", "HEAD")
    branches.git("switch", "--quiet", "main")
    with pytest.raises(AdoptionError, match=f"has no {POINTER}"):
        adopt.adopt(BRANCH)
