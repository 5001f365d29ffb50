"""Verify that what is committed is fit to be shared: `dvc repro` has nothing to do, and `dvc pull` finds everything.

Run by `make verify` and by CI: python -m reporting.verify

CI repeats at a job's end what was found before anything ran: python -m reporting.verify --said FILE --ran FILE
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import yaml

from digits import errors
from digits.errors import PipelineError
from reporting import lockfile, repro
from reporting.repro import CHECK

CACHE = Path(".dvc/cache/files/md5")
EMBEDDED = lockfile.STORE / "files/md5"
PRODUCTION = Path("data/production.dvc")  # names the labelled production data, as dvc.lock names the outputs

FIT = "dvc.lock is current, all it names is in the remote, and both are committed"


def main() -> None:
    """Exit with the complaints, each with the commands that mend it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--said", type=Path, help="repeat this, which was said before any stage ran")
    parser.add_argument("--ran", type=Path, help="without what comes of the failure that `dvc repro` printed here")
    arguments = parser.parse_args()
    if arguments.said is None:
        found = "\n".join(complaints())
    else:
        failed = CHECK in repro.read(arguments.ran).failed if arguments.ran else False
        found = repeated(arguments.said.read_text(encoding="utf-8", errors="replace"), failed=failed)
    if found:
        sys.exit(found)
    print(FIT if arguments.said is None else "nothing but what the failed check leaves stale")


def complaints() -> list[str]:
    """What speaks against sharing what is committed."""
    # What is damaged comes first and alone: the other findings may be nothing but its consequences.
    if damage := damaged_objects():
        return damage
    found = []
    for look in (stale_stages, missing_objects, uncommitted_files):
        try:
            found += look()
        except PipelineError as error:  # a remote that can't be reached must not hide the rest
            found.append(f"error: {error}")
    return found


def repeated(said: str, *, failed: bool) -> str:
    """What this program said before `check` ran, and `failed` or not. Nothing where there was no complaint.

    DVC records nothing of a stage that failed. So a failed check leaves itself stale, which only kept limits mend: of
    that, the failure says enough.
    """
    if FIT in said.splitlines():
        return ""
    return (said.replace(stale([CHECK]), "") if failed else said).strip()


def run(*command: str) -> str:
    """Output of a command.

    Raises:
        PipelineError: the command failed. Its text is the command's own.
    """
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise PipelineError(f"{' '.join(command)}: {answer.stderr.strip() or answer.stdout.strip()}")
    return answer.stdout


def stale_stages() -> list[str]:
    """Stages that `dvc repro` would run."""
    stages = lockfile.dry_run()
    return [stale(stages)] if stages else []


def stale(stages: list[str]) -> str:
    """The complaint about stages that are not what dvc.lock says."""
    return f"dvc.lock is stale: {', '.join(stages)} would run; mend it with:\n  {lockfile.mend()}"


def missing_objects() -> list[str]:
    """Outputs that dvc.lock names and the default remote does not have."""
    missing = json.loads(run("dvc", "data", "status", "--not-in-remote", "--json")).get("not_in_remote", [])
    push = f"dvc push && {lockfile.commit()}" if lockfile.STORE.exists() else "dvc push"
    return [f"not in the DVC remote: {', '.join(missing)}; mend it with:\n  {push}"] if missing else []


def damaged_objects() -> list[str]:
    """Objects whose content is not what their name, an MD5 sum, says, in the cache and in the embedded remote."""
    complaints = damaged_in_cache()
    if stored := damaged(EMBEDDED):
        mend = "git checkout .dvcstore"
        complaints.append(f"damaged in the DVC remote: {', '.join(map(str, stored))}; mend it with:\n  {mend}")
    return complaints


def damaged_in_cache(names: set[str] | None = None) -> list[str]:
    """The same in the cache; of all its objects, or of `names` alone.

    DVC trusts an object that nobody may write to: it would restore the damage and take it for what dvc.lock names.
    """
    cached = damaged(CACHE, names)
    if not cached:
        return []
    spoilt = [*map(str, cached), *outputs_of({object_name(path) for path in cached})]
    mend = f"rm -rf {' '.join(spoilt)} && dvc pull"
    return [f"damaged in the DVC cache: {', '.join(map(str, cached))}; mend it with:\n  {mend}"]


def damaged(store: Path, names: set[str] | None = None) -> list[Path]:
    """Files of a store that do not have the MD5 sum that they are named by; of all, or of `names` alone."""
    return [
        path
        for path in sorted(store.glob("??/*"))
        if (names is None or object_name(path) in names)
        and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != object_name(path).removesuffix(".dir")
    ]


def object_name(path: Path) -> str:
    """MD5 sum by which DVC calls an object, with `.dir` for a folder."""
    return path.parent.name + path.name


def named_objects() -> set[str]:
    """Objects that make up the outputs of dvc.lock, and production data, as far as their lists are in the cache."""
    return {name for md5 in output_sums().values() for name in (md5, *members(md5))}


def outputs_of(names: set[str]) -> list[str]:
    """Outputs, and production data, that are made of the objects `names`."""
    return [path for path, md5 in output_sums().items() if names & {md5, *members(md5)}]


def output_sums() -> dict[str, str]:
    """Path and object of each output that dvc.lock names, and of production data."""
    stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    sums = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    if PRODUCTION.exists():
        (tracked,) = yaml.safe_load(PRODUCTION.read_text(encoding="utf-8"))["outs"]
        sums[str(PRODUCTION.with_suffix(""))] = tracked["md5"]
    return sums


def members(name: str) -> list[str]:
    """Objects that a folder's object lists; none for a file's, or where the list itself is damaged."""
    path = CACHE / name[:2] / name[2:]
    if not name.endswith(".dir") or not path.exists():
        return []
    try:
        return [entry["md5"] for entry in json.loads(path.read_bytes())]
    except ValueError:
        return []


def uncommitted_files() -> list[str]:
    """Results, the name of production data, and remote objects that Git does not have."""
    paths = ("dvc.lock", "results", str(PRODUCTION), str(lockfile.STORE))
    output = run("git", "status", "--porcelain", "--untracked-files=all", "--", *paths)
    files = [line[3:] for line in output.splitlines()]
    shown = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    mend = lockfile.commit("dvc.lock", "results", *([str(PRODUCTION)] if str(PRODUCTION) in files else []))
    return [f"not committed: {shown}; mend it with:\n  {mend}"] if files else []


if __name__ == "__main__":
    errors.run(main)
