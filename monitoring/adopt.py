"""Take labelled production data from a branch that the export pushed: its pointer and its objects, and nothing else.

python -m monitoring.adopt [--branch feedback/20261124T173000Z] [--answered COMMIT]

Without a branch, from the newest one that nobody has answered (`--answered`); where there is none, data/production
stays as it is. A branch that is older than what this commit has is never taken. Prints `branch=` and `commit=` of what
was taken, for a workflow.

Whoever can push a branch could put anything into it. A .dvc file may name commands, other folders and other
repositories, and a folder's list files outside of that folder. So the branch is never checked out. What its pointer
says is read, held against the one form that the export writes, and written anew; each object has to have the MD5 sum
that it is asked for by.
"""

import argparse
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import yaml

from delivery import git
from digits.errors import run
from digits.storage import write_bytes, write_text
from monitoring import branches
from monitoring.branches import POINTER, AdoptionError

FOLDER = "production"
FILES = {"train.npz", "holdout.npz", "times.npz", "provenance.json"}
# As in reporting/verify.py: where DVC keeps objects by their MD5 sums.
_CACHE, _EMBEDDED = Path(".dvc/cache/files/md5"), Path(".dvcstore/files/md5")
_MD5 = re.compile(r"[0-9a-f]{32}")
_KEYS = {"md5", "size", "nfiles", "hash", "path"}


class Pointer(NamedTuple):
    """What a .dvc file of the export says."""

    md5: str  # of the folder's list, without `.dir`
    size: int  # bytes
    nfiles: int

    def __str__(self) -> str:
        out = f"md5: {self.md5}.dir\n  size: {self.size}\n  nfiles: {self.nfiles}\n  hash: md5\n  path: {FOLDER}\n"
        return f"outs:\n- {out}"


def main() -> None:
    """Take the data, and say from where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--branch", default="", help="as the export has called it; default: the newest")
    parser.add_argument(
        "--answered", default="", metavar="COMMIT", help="of a branch with which a retraining was proposed or refused"
    )
    arguments = parser.parse_args()
    branch = branches.checked(arguments.branch) if arguments.branch else branches.newest(arguments.answered)
    if arguments.branch and branches.older(arguments.branch):
        print(f"commit={branches.commit_of(arguments.branch)}")  # where the monitor is told that nothing came of it
        raise AdoptionError(f"{branch} is without the data of this commit, and would lose labels; {branches.AGAIN}")
    if branch is None:
        print("branch=\ncommit=")
        return
    commit = adopt(branch)
    print(f"branch={branch}\ncommit={commit}")


def adopt(branch: str) -> str:
    """Write the pointer of a branch, with the objects that it brings, and have DVC fetch the others into its cache.

    Returns:
        the branch's commit.

    Raises:
        AdoptionError: there is no such branch, or it holds something else. The pointer is as it was.
        GitError: this is no repository.
    """
    commit = branches.commit_of(branch)
    content = git.read(".", commit, str(POINTER))
    if content is None:
        raise AdoptionError(f"{branch} has no {POINTER}; {branches.AGAIN}")
    pointer = parse(content, branch)
    bring(commit, pointer, branch)
    before = POINTER.read_bytes()
    comments = [line for line in before.decode().splitlines(keepends=True) if line.startswith("#")]
    write_text(POINTER, f"{''.join(comments)}{pointer}")
    try:
        fetch()
        members((_CACHE / pointer.md5[:2] / f"{pointer.md5[2:]}.dir").read_bytes(), branch)
    except BaseException:
        write_bytes(POINTER, before)
        raise
    return commit


def parse(content: bytes, branch: str) -> Pointer:
    """A pointer from the bytes of its .dvc file.

    Raises:
        AdoptionError: it says more, less or something else than the export writes.
    """
    try:
        document = yaml.safe_load(content)
        (out,) = document["outs"]
        md5, _, kind = out["md5"].partition(".")
        known = set(document) == {"outs"} and set(out) == _KEYS and out["path"] == FOLDER and out["hash"] == "md5"
        numbers = all(type(out[key]) is int and out[key] >= 0 for key in ("size", "nfiles"))
    except (yaml.YAMLError, UnicodeError, ValueError, TypeError, KeyError, AttributeError):
        known = False
    if not known or kind != "dir" or not _MD5.fullmatch(md5) or not numbers:
        raise AdoptionError(
            f"{branch}: {POINTER} is not in the form that the export writes (one folder, {FOLDER}, by its MD5 sum); "
            f"nothing of the branch was taken"
        )
    return Pointer(md5, out["size"], out["nfiles"])


def bring(commit: str, pointer: Pointer, branch: str) -> None:
    """Copy the objects that a commit has for a pointer into the embedded remote; with another remote it has none.

    Raises:
        AdoptionError: an object is damaged, or the folder's list names what the export does not write.
    """
    listing = _object(commit, f"{pointer.md5}.dir", branch)
    if listing is None:
        return
    found = {f"{pointer.md5}.dir": listing}
    for md5 in members(listing, branch):
        if (content := _object(commit, md5, branch)) is not None:
            found[md5] = content
    for name, content in found.items():
        path = _EMBEDDED / name[:2] / name[2:]
        if not path.exists():
            write_bytes(path, content)


def members(listing: bytes, branch: str) -> list[str]:
    """MD5 sums of the files that a folder's list names.

    Raises:
        AdoptionError: it is no list, or names what the export does not write.
    """
    try:
        entries = {entry["relpath"]: entry["md5"] for entry in json.loads(listing)}
        fine = set(entries) <= FILES and all(_MD5.fullmatch(md5) for md5 in entries.values())
    except (ValueError, TypeError, KeyError):
        fine = False
    if not fine:
        raise AdoptionError(
            f"{branch}: the list of the folder {FOLDER} names something else than {', '.join(sorted(FILES))}; "
            f"nothing of the branch was taken"
        )
    return list(entries.values())


def fetch() -> None:
    """Let DVC bring the objects into its cache, where their names are MD5 sums: no other file is written.

    Raises:
        AdoptionError: the remote does not have them.
    """
    answer = subprocess.run(["dvc", "fetch", str(POINTER)], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise AdoptionError(f"`dvc fetch {POINTER}` failed: {(answer.stderr or answer.stdout).strip()}")


def _object(commit: str, name: str, branch: str) -> bytes | None:
    content = git.read(".", commit, str(_EMBEDDED / name[:2] / name[2:]))
    if content is None:
        return None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != name.removesuffix(".dir"):
        raise AdoptionError(f"{branch}: the object {name} has another MD5 sum; nothing of the branch was taken")
    return content


if __name__ == "__main__":
    run(main)
