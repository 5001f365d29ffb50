"""What a worker does before its first trial: get code and data, and make sure that both are the driver's.

Python's standard library alone, here and in what it imports: a node needs torch, Ray, DVC and Git, but not this
project. The driver ships these modules by value (`ray.cloudpickle.register_pickle_by_value(scaling)`); what a trial
computes with comes from the commit. Ray's `runtime_env` was the other choice: it ships a folder, not a commit, through
the head node, and needs an agent on every node.

Who may start work on a Ray cluster may run anything there, by Ray's design. Trusted are the driver and the commit that
it names, with all its files: its code runs here, and its .dvc/config says where DVC looks, and with which options. What
the DVC remote sends is not trusted: every file has the MD5 sum that dvc.lock names.
"""

import dataclasses
import hashlib
import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from scaling.checkout import check, checked_out, commit_of
from scaling.fetching import CheckoutError

PACKAGES = ("digits", "stages", "scaling")
# What only shows or goes on with what trials came to: another text there changes none of them.
AFTERWARDS = {
    f"scaling/{name}.py"
    for name in (
        *("equality", "experiments", "frontier", "keep", "paired", "picture", "progress", "running"),
        *("seeds", "selection", "warm", "warm_worker", "watch"),
    )
}
# And how many of a version's parts; None: all but the build (+cpu, +cu130).
_COMPARED = {"python": 2, "torch": None, "numpy": None}


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a trial computes with. The driver makes it, see source.py."""

    folder: str | None  # local Ray: the working folder; None: each node fetches
    repository: str | None  # what `git fetch` takes
    commit: str | None  # 40 hexadecimal digits; None: a working folder outside of Git
    data: dict[str, str]  # files that a trial reads, and their MD5 sums
    versions: dict[str, str]  # of Python and packages, where the driver runs
    code: str  # see `digest`


class NodeError(Exception):
    """A node that can't run trials. Its text says which node, what is wrong and what to do next."""


class VersionError(NodeError):
    """A node whose code, Python or packages are of another version: what it came to could not be compared."""


def prepare_node(spec: Spec) -> Path:
    """Make code and data ready, and the code importable. To be called before anything of ours is imported.

    Afterwards `import digits` is the commit's, whatever else the node has installed.

    Returns:
        the folder with params.yaml, the packages and data/prepared; absolute.

    Raises:
        VersionError: Python, torch, numpy or our code are not the driver's.
        NodeError: no code, no data, or no room for them.
    """
    try:
        _same_versions(spec.versions)
        if spec.folder is not None:
            root = Path(spec.folder)
            check(root, spec.data, "run `dvc pull`, or `dvc repro` if params or data changed")
        else:
            if spec.repository is None or spec.commit is None:
                raise CheckoutError("the driver named no repository or no commit to fetch")
            root = checked_out(cache_folder(), spec.repository, spec.commit, spec.data)
            # What a full disk cuts short would stop every later run (python/cpython#126606).
            sys.dont_write_bytecode = True
        if digest(root) != spec.code:
            raise _other(
                f"{', '.join(PACKAGES)} in {root} are not the code that the sweep was started with; take back what was "
                f"changed there since, then go on with the sweep, or begin a new one"
            )
        _nothing_else_imported(root, spec.commit)
    except CheckoutError as error:
        raise NodeError(f"node {platform.node()}: {error}") from None
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    return root


def cache_folder() -> Path:
    """Where this node keeps what it fetched: MNIST_NODE_CACHE, or a folder among the user's caches."""
    if chosen := os.environ.get("MNIST_NODE_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist-mlops"


def versions() -> dict[str, str]:
    """Version of Python and of the packages that settle a trial's result, of this environment. Imports none of them."""
    packages = ("torch", "numpy", "ray")
    return {"python": platform.python_version()} | {name: _installed(name) for name in packages}


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _other(text: str) -> VersionError:
    return VersionError(f"node {platform.node()}: {text}")


def _same_versions(driver: dict[str, str]) -> None:
    """Another torch or numpy comes to other bits; another minor version of Python can't even read what is sent."""
    here = versions()
    for name, parts in _COMPARED.items():
        ours, theirs = (version[name].partition("+")[0].split(".")[:parts] for version in (here, driver))
        if ours != theirs:
            raise _other(
                f"{name} {here[name]} is here, {driver[name]} where the sweep was started; install that version here, "
                f"from the commit's requirements.lock, and restart Ray on this node"
            )


def _nothing_else_imported(root: Path, commit: str | None) -> None:
    """What this process has imported of ours can't be replaced any more: its packages have to be the same ones."""
    for name in PACKAGES:
        for path in getattr(sys.modules.get(name), "__path__", ()):
            found, wanted = Path(path).absolute(), root / name
            if found == wanted or _sources(found) == _sources(wanted):
                continue
            raise _other(
                f"another version of {name} is imported here already, from {found}: commit "
                f"{commit_of(found.parent) or 'unknown'}; the sweep is of commit {commit or 'unknown'}. Take that "
                f"folder off PYTHONPATH where Ray runs on this node, and restart it"
            )


def digest(root: Path) -> str:
    """SHA-256 of the sources on which trials depend, by which code is told apart, committed or not."""
    return digest_of({f"{name}/{path}": text for name in PACKAGES for path, text in _sources(root / name).items()})


def digest_of(sources: Mapping[str, bytes]) -> str:
    """The same of sources that are at hand, by their paths from the top folder."""
    sums = [
        f"{hashlib.sha256(text).hexdigest()}  {path}\n"
        for path, text in sorted(sources.items())
        if path not in AFTERWARDS and (not path.startswith("stages/") or path == "stages/train.py")
    ]
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def _sources(package: Path) -> dict[str, bytes]:
    # An editor's lock beside a file is a link to nowhere.
    paths = [path for path in package.rglob("*.py") if path.is_file()]
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in paths}
