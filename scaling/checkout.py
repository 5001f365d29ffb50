"""Code of a commit and the data that it names, in a cache folder of the node: whole and verified, or not there.

`checkouts/COMMIT` in that folder holds what a trial reads. `objects` is DVC's cache, so that data that two commits
share is pulled once. Nothing else is kept there: removing the folder costs nothing but another fetch.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scaling.fetching import FULL, SECONDS, CheckoutError, Fetching, no_room

_MANIFEST = ".checkout.json"
_LOOKS = 0.2  # seconds between two at a lock


def checked_out(cache: Path, repository: str, commit: str, data: dict[str, str]) -> Path:
    """Folder with the code of a commit and its data; made if it is not there, made anew if it is damaged.

    Args:
        cache: the node's folder for this; several processes may ask at once.
        repository: what `git fetch` takes.
        commit: all its digits.
        data: files that dvc.lock names, with their MD5 sums.

    Raises:
        CheckoutError: an address or commit that Git must not see, one that can't be fetched, data that DVC does not
            find or whose sums differ, or no room.
    """
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise CheckoutError(f"{commit!r} is no commit: all its 40 hexadecimal digits are needed")
    if repository.startswith("-"):
        raise CheckoutError(f"{repository!r} is no address of a repository, but an option of Git's")
    finished = cache / "checkouts" / commit
    # Always the same name: what a killed process leaves behind, the next one removes.
    unfinished = cache / "unfinished"
    try:
        with _locked(cache) as lock:
            if not _whole(finished, data):
                shutil.rmtree(finished, ignore_errors=True)
                shutil.rmtree(unfinished, ignore_errors=True)
                try:
                    _make(Fetching(unfinished, cache, lock), repository, commit, data)
                    finished.parent.mkdir(exist_ok=True)
                    unfinished.rename(finished)
                finally:
                    shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        if error.errno in FULL:
            raise no_room(str(error.filename or cache), str(error.strerror), cache) from None
        raise CheckoutError(
            f"{error.filename or cache}: {error.strerror}; see to it that {cache} can be written, or set "
            f"MNIST_NODE_CACHE to a folder that can, where Ray is started on this node"
        ) from None
    return finished


def check(root: Path, data: dict[str, str], advice: str) -> None:
    """Hold the data in `root` against their MD5 sums.

    Raises:
        CheckoutError: a file is not there, or not the one that dvc.lock names; says which, with `advice`.
    """
    for name, md5 in data.items():
        found = _md5(root / name)
        if found is None:
            raise CheckoutError(f"{root / name}: not there; {advice}")
        if found != md5:
            raise CheckoutError(f"{root / name}: its MD5 sum is {found}, dvc.lock names {md5}; {advice}")


def commit_of(folder: Path) -> str | None:
    """Commit of a folder that `checked_out` made, or of a working tree of Git's; None if it is neither."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((folder / _MANIFEST).read_text())["commit"])
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    return None


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[int]:
    """Wait for the lock of the cache folder. Git and DVC inherit it: should they outlive their parent, it holds."""
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = cache.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        whose = "belongs to another user" if state.st_uid != os.getuid() else "can be written by other users"
        raise CheckoutError(
            f"{cache}: {whose}, whose code would run here as yours; remove it, or set MNIST_NODE_CACHE to a folder "
            f"that is not there yet, where Ray is started on this node"
        )
    with (cache / "lock").open("w") as stream:
        _lock(stream.fileno(), cache)
        yield stream.fileno()


def _lock(file: int, cache: Path, seconds: float = SECONDS) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise CheckoutError(
                    f"{cache}: another process fetches there for more than {seconds:g} seconds; end it if it hangs"
                ) from None
            time.sleep(_LOOKS)


def _whole(folder: Path, data: dict[str, str]) -> bool:
    """Whether all files are as they were fetched, and no other is there, to be imported in a package's place."""
    try:
        files = json.loads((folder / _MANIFEST).read_text())["files"] | data
        found = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
        }
        return found == {*files, _MANIFEST} and all(_md5(folder / name) == md5 for name, md5 in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make(fetching: Fetching, repository: str, commit: str, data: dict[str, str]) -> None:
    folder = fetching.folder
    folder.mkdir(parents=True)
    fetching.code(repository, commit, data.values())
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".dvcstore" not in path.parts]
    files = {path.relative_to(folder).as_posix(): _md5(path) for path in paths}
    for md5 in data.values():  # DVC takes a protected object for whole
        if _md5(fetching.object(md5)) != md5:
            fetching.object(md5).unlink(missing_ok=True)
    fetching.data(data)
    check(folder, data, "the DVC remote has it damaged: remove it there, then `dvc push` it from where it is whole")
    (folder / _MANIFEST).write_text(json.dumps({"commit": commit, "files": files}, indent=1))


def _md5(path: Path) -> str | None:
    """MD5 sum of a file's content, None where there is none."""
    try:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
