"""One version's files, out of the DVC remote by the version's tag, each held against dvc.lock at that tag.

python -m delivery.artifact mnist@v0.1.0 [FILE ...] --to folder [--repo https://...]

The repository is a working tree, a bare clone or an address. DVC looks for a remote that is a folder of the repository,
as .dvcstore is, in a checkout, and two of these three have none. So one is made: of that commit, for the time that it
takes, and of no more files than are needed.
"""

import argparse
import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from delivery.git import GitError, git
from digits.errors import PipelineError, run
from digits.storage import write_bytes

SERVED = ("models/model.onnx", "models/reference.npz", "models/smoke.npz", "results/evaluate/metrics.json")
PREDICTIONS = "results/evaluate/predictions.npz"

# As in reporting/verify.py: where DVC keeps objects by their MD5 sums.
_CACHE, _EMBEDDED = Path(".dvc/cache/files/md5"), Path(".dvcstore/files/md5")
# What DVC needs to know of a project in order to find an output's object.
_PROJECT = (".dvc/config", "dvc.yaml", "dvc.lock", "params.yaml")


class ArtifactError(PipelineError):
    """A version's file is not to be had, or not the one that dvc.lock names."""


@dataclasses.dataclass(frozen=True)
class Fetched:
    """What was fetched: names in the target folder with their MD5 sums, and the seconds that Git and DVC took."""

    commit: str
    files: dict[str, str]
    seconds: dict[str, float]


def main() -> None:
    """Fetch a version's files; says what came, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tag", help="as in `git tag`: mnist@v0.1.0")
    parser.add_argument("files", nargs="*", default=SERVED, help=f"default: {', '.join(SERVED)}")
    parser.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="they go there, without subfolders")
    parser.add_argument("--repo", default=".", help="working tree, bare clone or an address that `git clone` takes")
    arguments = parser.parse_args()
    print(json.dumps(dataclasses.asdict(fetch(arguments.repo, arguments.tag, arguments.to, arguments.files)), indent=2))


def fetch(repo: str | Path, tag: str, to: Path, files: Iterable[str] = SERVED) -> Fetched:
    """Fetch files that were committed, or named by dvc.lock, at a tag.

    A file that the DVC cache of a working tree has comes from there; then DVC is not even started.

    Args:
        repo: working tree, bare clone, or an address that `git clone` takes.
        tag: the version's, for example `mnist@v0.1.0`.
        to: folder that gets them, by their names without folders; meanwhile also a hidden one to work in.
        files: paths from the top of the project.

    Raises:
        ArtifactError: dvc.lock does not name a file, it can't be found, or its content has another MD5 sum.
        GitError: there is no such repository or tag, or it can't be reached.
    """
    started = time.perf_counter()
    to.mkdir(parents=True, exist_ok=True)
    # In there, for what a killed process leaves of an arriving version is removed by the next one.
    with tempfile.TemporaryDirectory(prefix=".version-", dir=to.resolve()) as folder:
        checkout = Path(folder) / "checkout"
        commit = _clone(repo, tag, checkout)
        sums = _checksums(_lock(checkout, tag), tag, files)
        found = {
            path: content
            for path, md5 in sums.items()
            if (content := _verified(Path(repo) / _CACHE / md5[:2] / md5[2:], md5))
        }
        missing = {path: md5 for path, md5 in sums.items() if path not in found}
        if missing:
            _check_out(checkout, commit, missing)
        between = time.perf_counter()
        if missing:
            found |= _ask_dvc(repo, tag, checkout, missing)
        for path, content in found.items():
            write_bytes(to / Path(path).name, content)
    seconds = {"git": between - started, "dvc": time.perf_counter() - between}
    return Fetched(commit, {Path(path).name: md5 for path, md5 in sums.items()}, seconds)


def _clone(repo: str | Path, tag: str, checkout: Path) -> str:
    """Clone without files; of a repository elsewhere only this commit, and its files as they are asked for."""
    how = ("--shared",) if Path(repo).exists() else ("--depth=1", "--filter=blob:none")
    git(".", "clone", "--quiet", "--no-checkout", *how, f"--branch={tag}", "--", str(repo), str(checkout))
    return git(checkout, "rev-parse", "--verify", f"refs/tags/{tag}^{{commit}}").strip()


def _lock(checkout: Path, tag: str) -> dict[str, Any]:
    try:
        text = git(checkout, "show", f"refs/tags/{tag}:dvc.lock")
        return dict(yaml.safe_load(text)["stages"])
    except (GitError, yaml.YAMLError, TypeError, KeyError) as error:
        raise ArtifactError(f"{tag}: no dvc.lock that can be read ({error}); is it a version's tag?") from None


def _checksums(stages: dict[str, Any], tag: str, files: Iterable[str]) -> dict[str, str]:
    """MD5 sum of each file, as dvc.lock states it."""
    named = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    if unknown := [path for path in files if path not in named]:
        raise ArtifactError(f"{tag}: dvc.lock names no {', '.join(unknown)}; it names {', '.join(sorted(named))}")
    return {path: named[path] for path in files}


def _check_out(checkout: Path, commit: str, wanted: dict[str, str]) -> None:
    """Check out what DVC reads, the files that Git has, and the objects that lie in the repository itself."""
    objects = [_EMBEDDED / md5[:2] / md5[2:] for md5 in wanted.values()]
    paths = [f"/{path}" for path in (*_PROJECT, *wanted, *objects)]
    git(checkout, "sparse-checkout", "set", "--no-cone", *paths)
    git(checkout, "checkout", "--quiet", "--detach", commit)


def _ask_dvc(repo: str | Path, tag: str, checkout: Path, wanted: dict[str, str]) -> dict[str, bytes]:
    """Content of each file: Git's as it is checked out, the others through DVC from the project's remote."""
    from dvc.api import DVCFileSystem  # noqa: PLC0415, takes a second

    # Nobody works in this checkout: DVC need not know Git, nor remember anything once it is gone.
    beside = checkout.parent
    core: dict[str, Any] = {"no_scm": True, "site_cache_dir": str(beside / "site")}
    config: dict[str, Any] = {"core": core, "cache": {"dir": str(beside / "cache")}}
    own = Path(repo) / ".dvc/config.local"
    if own.is_file() and not all(_at_hand(checkout, path, md5) for path, md5 in wanted.items()):
        theirs = DVCFileSystem(repo).repo.config  # with paths that hold here, too
        name = theirs["core"].get("remote")
        core["remote"] = name
        config["remote"] = {name: dict(theirs["remote"].get(name, {}))}
    project = DVCFileSystem(checkout, config=config)
    found = {}
    for path, md5 in wanted.items():
        try:
            found[path] = project.read_bytes(path)
        except Exception as error:  # those of DVC and of all kinds of remotes share no other base class
            raise ArtifactError(
                f"{tag}: {path} can't be fetched from the DVC remote: {str(error) or type(error).__name__}; if it was "
                f"never pushed, `dvc push` it from where it was made, as `make verify` tells"
            ) from None
        if hashlib.md5(found[path], usedforsecurity=False).hexdigest() != md5:
            raise ArtifactError(
                f"{tag}: {path} as the remote has it is damaged: its MD5 sum is not {md5}, as dvc.lock at this tag "
                f"has it; restore that object in the remote, by a `dvc push` from where it is whole, say"
            )
    return found


def _at_hand(checkout: Path, path: str, md5: str) -> bool:
    return (checkout / path).exists() or (checkout / _EMBEDDED / md5[:2] / md5[2:]).exists()


def _verified(path: Path, md5: str) -> bytes | None:
    """Content of an object, if it is there and whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5 else None


if __name__ == "__main__":
    run(main)
