"""What the trials of a sweep compute with: said, checked and proven by the driver, before any of them starts."""

import functools
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from digits.errors import PipelineError
from scaling.checkout import check, checked_out, commit_of
from scaling.fetching import CODE, CheckoutError
from scaling.nodes import Spec, cache_folder, digest, versions

DATA = ("data/prepared/train.npz", "data/prepared/validation.npz", "data/prepared/statistics.json")
_LOCK, _PARAMS = Path("dvc.lock"), Path("params.yaml")
_MAKES_DATA = ("fetch", "preprocess")  # stages
_REPRO = "run `dvc repro preprocess`"


class SourceError(PipelineError):
    """Code or data are not in a state that trials could start from."""


def describe_code(address: str | None, repository: str | None = None) -> Spec:
    """What trials are to compute with, of the working folder.

    Args:
        address: of a Ray cluster; None for a Ray of this machine alone, whose trials read the working folder itself.
        repository: where nodes of a cluster fetch from; default: Git's origin.

    Raises:
        SourceError: the data are not those of dvc.lock or of params.yaml; on a cluster also changes that are not
            committed, an address that can't be used, a commit or data that can't be fetched as a node would.
    """
    data = _checksums()
    folder = Path.cwd()
    if address is None:
        try:
            check(folder, data, f"restore it with `dvc pull {' '.join(DATA)}`, or {_REPRO}")
        except CheckoutError as error:
            raise SourceError(str(error)) from None
        return Spec(str(folder), None, commit_of(folder), data, versions(), digest(folder))
    commit = _committed()
    where = _reachable(repository or _origin())
    try:
        root = checked_out(cache_folder(), where, commit, data)
    except CheckoutError as error:
        raise SourceError(
            f"the cluster's nodes will not get what the sweep needs; the same, tried here: {error}"
        ) from None
    return Spec(None, where, commit, data, versions(), digest(root))


def _checksums() -> dict[str, str]:
    """MD5 sums of what a trial reads, by dvc.lock; it has to be of the present params."""
    try:
        stages = yaml.safe_load(_LOCK.read_text(encoding="utf-8"))["stages"]
        params = yaml.safe_load(_PARAMS.read_text(encoding="utf-8"))
        sums = {out["path"]: str(out["md5"]) for name in _MAKES_DATA for out in stages[name]["outs"]}
        made_with = {key: value for name in _MAKES_DATA for key, value in stages[name]["params"][str(_PARAMS)].items()}
        present = {
            key: functools.reduce(lambda tree, name: tree.get(name), key.split("."), params) for key in made_with
        }
    except FileNotFoundError as error:
        raise SourceError(f"{error.filename}: not found; run from the top folder, after `dvc repro`") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{_LOCK}, {_PARAMS}: not what they should hold ({error!r}); {_REPRO}") from None
    for key, value in made_with.items():
        if value != present[key]:
            raise SourceError(f"{_PARAMS}: {key} is {present[key]}, but the data were made with {value}; {_REPRO}")
    if missing := [name for name in DATA if name not in sums]:
        raise SourceError(f"{_LOCK}: it names no {', '.join(missing)}; {_REPRO}")
    return {name: sums[name] for name in DATA}


def _committed() -> str:
    """HEAD, if nothing that a node reads differs from it."""
    changed = _git("status", "--porcelain", "--untracked-files=all", "--", *CODE, ".dvcstore").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:5]) + (f" and {len(changed) - 5} more" if changed[5:] else "")
        raise SourceError(
            f"not committed: {names}. The nodes of a cluster fetch what is committed: `git commit` and `git push`, "
            f"then try again; without RAY_ADDRESS a sweep takes the working folder as it is"
        )
    return _git("rev-parse", "--verify", "HEAD").strip()


def _origin() -> str:
    try:
        return _git("remote", "get-url", "origin").strip()
    except SourceError:
        raise SourceError(
            "Git knows no remote `origin`, where the nodes of a cluster would fetch the code: `git remote add origin "
            "URL`, or name another address with --repository"
        ) from None


def _reachable(address: str) -> str:
    """The address as nodes can use it: a folder by its whole path, and no password, for it goes to every node's log."""
    try:
        url = urlsplit(address)
    except ValueError as error:
        raise SourceError(
            f"the repository's address is none ({error}); name another one with --repository, or `git remote set-url "
            f"origin URL`"
        ) from None
    if url.scheme in ("http", "https") and (url.query or url.fragment):  # where a token may stand
        raise SourceError(
            f"{url.scheme}://{url.hostname}{url.path}?...: the repository's address has a query, which may hold a "
            f"token and would go to every node; take it out, and give each node a credential of its own (`git config "
            f"credential.helper`)"
        )
    if url.password or (url.username and url.scheme in ("http", "https")):  # a token may stand in the user's place
        raise SourceError(
            f"{url.scheme}://...@{url.hostname}: the repository's address holds a password or token, which would go to "
            f"every node; take it out, and give each node a credential of its own (`git config credential.helper`)"
        )
    return str(Path(address).resolve()) if Path(address).exists() else address


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise SourceError("git: not found; install it") from None
    except subprocess.CalledProcessError as error:
        raise SourceError(f"`git {arguments[0]}` failed: {error.stderr.strip()}; run from the top folder") from None
