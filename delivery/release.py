"""Make a version of what is committed: `make release`, `make release BUMP=minor`.

python -m delivery.release [--bump patch|minor|major] [--push]

Patch: the same network, trained anew. Minor: another network or other data. Major: whoever calls the model has to
change something. A commit that is a version already, or has the newest version's model, is no error: it needs none.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from delivery import git, registry, tagging
from delivery.registry import Registry, Version
from delivery.settings import DeliveryParams
from digits import params
from digits.errors import PipelineError, run

VERDICT = "results/check/verdict.json"
CARD = "results/check/model_card.md"
MAIN = f"{tagging.REMOTE}/main"


class ReleaseError(PipelineError):
    """What is committed may not become a version."""


def main() -> None:
    """Register a version, or say what is in the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bump", choices=["patch", "minor", "major"], default="patch", help="which number to raise")
    parser.add_argument("--push", action="store_true", help=f"share the tag with {tagging.REMOTE}")
    arguments = parser.parse_args()
    settings = params.load(DeliveryParams, "delivery")
    with tagging.alone():
        release(settings.artifact, arguments.bump, push=arguments.push)


def release(artifact: str, bump: str, *, push: bool = False) -> None:
    """Register the commit that is checked out as the next version, with what changed since the last as its notes.

    Raises:
        PipelineError: nothing was registered. Its text says why and what to do.
    """
    if push:
        tagging.fetch(artifact)
    known = registry.read(".", artifact)
    head = git.git(".", "rev-parse", "HEAD").strip()
    newest = known.versions[-1] if known.versions else None
    if present := known.version_of(head):
        print(f"this commit is {artifact} {present.name} already: nothing to release")
        tagging.share(artifact, present.tag, push=push)
        return
    if newest and model(newest.commit, artifact) == model(head, artifact):
        print(f"the model is that of {artifact} {newest.name}: nothing to release")
        return
    if complaints := obstacles(head):
        raise ReleaseError("\n".join([f"commit {head[:7]} can't become a version", *complaints]))
    name = following(known, bump)
    made = tagging.register(artifact, name, f"{artifact} {name}\n\n{notes(newest)}")
    print(f"{made.message}\n\n{artifact} {made.name}: registered commit {head[:7]} by tag {made.tag}")
    tagging.share(artifact, made.tag, push=push)


def model(commit: str, artifact: str) -> str:
    """MD5 sum of the artifact's file, by dvc.yaml and dvc.lock of a commit.

    Raises:
        ReleaseError: the two don't name it.
    """
    path = ((_document(commit, "dvc.yaml").get("artifacts") or {}).get(artifact) or {}).get("path")
    stages = (_document(commit, "dvc.lock").get("stages") or {}).values()
    sums = [str(out["md5"]) for stage in stages for out in stage.get("outs", []) if out.get("path") == path]
    if not sums:
        raise ReleaseError(
            f"commit {commit[:7]}: dvc.yaml has no artifact {artifact!r}, as delivery.artifact calls it, or "
            f"dvc.lock lacks its file {path}; correct that, run `dvc repro`, and commit"
        )
    return sums[0]


def _document(commit: str, path: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(git.read(".", commit, path) or b"{}")
    except (yaml.YAMLError, ValueError) as error:
        raise ReleaseError(f"commit {commit[:7]}: {path} is not valid YAML: {error}") from None
    return content if isinstance(content, dict) else {}


def obstacles(head: str) -> list[str]:
    """What keeps a commit from being released, each with what to do; all at once."""
    return [*failed_check(head), *outside_main(head), *not_as_committed(), *not_verified()]


def failed_check(head: str) -> list[str]:
    """The verdict as committed, unless all limits are kept."""
    try:
        verdict = json.loads(git.read(".", head, VERDICT) or b"{}")
        violated = ", ".join(str(limit["metric"]) for limit in verdict.get("limits", []) if limit["passed"] is not True)
        passed = verdict.get("passed") is True and not violated
    except (ValueError, TypeError, KeyError, AttributeError):
        passed, violated = False, ""
    if passed:
        return []
    what = f"limits violated: {violated}" if violated else "no verdict that can be read"
    return [f"check has not passed ({VERDICT}: {what}); change the model or the limits, `dvc repro`, and commit"]


def outside_main(head: str) -> list[str]:
    """That a commit is not part of main, where the others can't have reviewed it."""
    try:
        git.git(".", "rev-parse", "--quiet", "--verify", f"refs/remotes/{MAIN}")
    except git.GitError:
        return []  # nobody to share with
    try:
        git.git(".", "merge-base", "--is-ancestor", head, f"refs/remotes/{MAIN}")
    except git.GitError:
        return [f"it is not part of {MAIN}; merge it, or push it (or `git fetch`, if that was done elsewhere)"]
    return []


def not_as_committed() -> list[str]:
    """Changes of tracked files: what is verified below is the workspace, what is released the commit."""
    changed = git.git(".", "status", "--porcelain", "--untracked-files=no").splitlines()
    names = ", ".join(line[3:] for line in changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    return [f"changed since the commit: {names}; commit that, or put it away with `git stash`"] if changed else []


def not_verified() -> list[str]:
    """What `make verify` complains about: dvc.lock stale, its outputs not in the remote, either not committed."""
    command = [sys.executable, "-m", "reporting.verify"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return [(answer.stderr or answer.stdout).strip()] if answer.returncode else []


def following(known: Registry, bump: str) -> str:
    """Name of the next version, after all that ever were: a withdrawn one's is not used again."""
    major, minor, patch = max((version.numbers for version in [*known.versions, *known.withdrawn]), default=(0, 0, 0))
    after = {"patch": (major, minor, patch + 1), "minor": (major, minor + 1, 0), "major": (major + 1, 0, 0)}[bump]
    return "v" + ".".join(map(str, after))


def notes(newest: Version | None) -> str:
    """What the tag says: the report against the newest version without its folded parts, or the first's model card."""
    if newest is None:
        return Path(CARD).read_text(encoding="utf-8").strip()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.md"
        command = [sys.executable, "-m", "reporting.report", "--base", newest.tag, "--out", str(out)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise ReleaseError(f"the release notes can't be written: {answer.stderr.strip()}")
        lead = out.read_text(encoding="utf-8").partition("<details>")[0]
    return f"{lead.strip()}\n\nAll of it: `make report BASE={newest.tag}`, with this version checked out"


if __name__ == "__main__":
    run(main)
