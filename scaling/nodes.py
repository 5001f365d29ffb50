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
import importlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from scaling.checkout import check, checked_out, commit_of
from scaling.fetching import CheckoutError

PACKAGES = ("digits", "stages", "scaling")
_COMPARED = {"python": 2, "torch": None}  # and how many of a version's parts; None: all but the build (+cpu, +cu130)


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a trial computes with. The driver makes it, see source.py."""

    folder: str | None  # local Ray: the working folder; None: each node fetches
    repository: str | None  # what `git fetch` takes
    commit: str | None  # 40 hexadecimal digits; None: a working folder outside of Git
    data: dict[str, str]  # files that a trial reads, and their MD5 sums
    versions: dict[str, str]  # of Python and packages, where the driver runs


class NodeError(Exception):
    """A node that can't run trials. Its text says which node, what is wrong and what to do next."""


def prepare_node(spec: Spec) -> Path:
    """Make code and data ready, and the code importable. To be called before anything of ours is imported.

    Afterwards `import digits` is the commit's, whatever else the node has installed.

    Returns:
        the folder with params.yaml, the packages and data/prepared; absolute.

    Raises:
        NodeError: another version of Python, of torch or of our code; no code, no data, or no room for them.
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


def _same_versions(driver: dict[str, str]) -> None:
    """Another torch trains to other bits; another minor version of Python can't even read what the driver sends."""
    here = versions()
    for name, parts in _COMPARED.items():
        ours, theirs = (version[name].partition("+")[0].split(".")[:parts] for version in (here, driver))
        if ours != theirs:
            raise CheckoutError(
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
            raise CheckoutError(
                f"another version of {name} is imported here already, from {found}: commit "
                f"{commit_of(found.parent) or 'unknown'}; the sweep is of commit {commit or 'unknown'}. Take that "
                f"folder off PYTHONPATH where Ray runs on this node, and restart it"
            )


def _sources(package: Path) -> dict[Path, bytes]:
    return {path.relative_to(package): path.read_bytes() for path in package.rglob("*.py")}
