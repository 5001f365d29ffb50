"""Which stages ran and why, from what dvc.lock said before and says now."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

from digits.errors import PipelineError
from reporting.markdown import code, listed, pair
from reporting.repro import CHECK, Repro, parse
from reporting.revisions import PARAMS, flat, same

DRY_RUN = ("dvc", "repro", "--dry", "--allow-missing")
STORE = Path(".dvcstore")  # the embedded DVC remote, where there is one


class DryRunError(PipelineError):
    """DVC can't tell what it would run."""


def commit(*paths: str) -> str:
    """The commands that commit paths and the embedded remote: `git add` would stop at one that is not there."""
    present = [*paths, *([str(STORE)] if STORE.exists() else [])]
    return f"git add {' '.join(present)} && git commit"


def mend() -> str:
    """The commands that bring dvc.lock up to date and share it."""
    return f"dvc repro && dvc push && {commit('dvc.lock', 'results')}"


@dataclasses.dataclass(frozen=True)
class Change:
    """Why a stage is not what it was. All texts are Markdown."""

    causes: dict[str, str]  # inputs that a person changed: plain name, and what to say of it
    upstream: list[str]  # inputs that another stage writes
    outputs: list[str]

    def __str__(self) -> str:
        parts = [listed([*self.causes.values()])] if self.causes else []
        parts += [f"other input: {listed(self.upstream)}"] if self.upstream else []
        return "; ".join(parts) or f"the same inputs, another result: {listed(self.outputs)}"


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Change]:
    """Stages that dvc.lock says something else about, in the order of the new one."""
    made = {out["path"] for lock in (before, after) for stage in lock.values() for out in stage.get("outs", [])}
    result = {}
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None or new is None:
            result[name] = Change({name: "new stage" if old is None else "stage removed"}, [], [])
            continue
        inputs = _differing(_sums(old, "deps"), _sums(new, "deps"))
        causes = {} if old.get("cmd") == new.get("cmd") else {"cmd": "its command"}
        causes |= _params(flat(old.get("params", {})), flat(new.get("params", {})))
        causes |= {path: code(path) for path in inputs if path not in made}
        outputs = [code(path) for path in _differing(_sums(old, "outs"), _sums(new, "outs"))]
        result[name] = Change(causes, [code(path) for path in inputs if path in made], outputs)
    return {name: change for name, change in result.items() if change.causes or change.upstream or change.outputs}


def _sums(stage: dict[str, Any], part: str) -> dict[str, Any]:
    return {item["path"]: item.get("md5") for item in stage.get(part, [])}


def _differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [key for key in {**old, **new} if not same(old.get(key), new.get(key)) or (key in old) != (key in new)]


def _params(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    texts = {}
    for key in _differing(old, new):
        name = key.removeprefix(f"{PARAMS}.")  # the first part of a key is the name of its file
        base, head = pair(old.get(key), new.get(key))
        texts[name] = f"{code(name)} {base} → {head}" if key in old and key in new else code(name)
    return texts


def waiting() -> list[str] | None:
    """Stages that `dvc repro` would run now, or None where DVC can't tell. The report's only call of DVC."""
    try:
        return dry_run()
    except DryRunError:
        return None


def dry_run() -> list[str]:
    """Stages that `dvc repro` would run now. It exits with 0 even then, so its words have to tell.

    It fails at the first of them where the files that this one reads are not there: not pulled, or written by an
    earlier one, which a dry run does not do.

    Raises:
        DryRunError: it fails for another reason. Its text is DVC's.
    """
    try:
        answer = subprocess.run(DRY_RUN, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DryRunError(str(error)) from error
    did = parse(answer.stdout + answer.stderr)
    stages = list(dict.fromkeys([*did.ran, *did.failed]))
    if answer.returncode and not stages:
        raise DryRunError(f"{' '.join(DRY_RUN)}: {answer.stderr.strip() or answer.stdout.strip()}")
    return stages


def state(
    recorded: dict[str, Any],
    current: dict[str, Any],
    waiting: list[str] | None,
    *,
    did: Repro | None = None,
    failed: bool = False,
    told: bool = False,
) -> str:
    """Say in Markdown whether dvc.lock is current, whether anything was trained, and what mends it if need be.

    Args:
        recorded: stages of dvc.lock as committed.
        current: the same as it is in the workspace.
        waiting: what `dvc repro` would run now; None where that is unknown.
        did: what `dvc repro` did since the workspace was as committed; None where nobody noted it down.
        failed: `check` failed, so that `dvc repro` can't end well before the limits are kept.
        told: what mends it is said elsewhere.
    """
    if not current:
        return "⚠️ **There is no `dvc.lock`**: nothing has been run yet. `dvc repro` writes it."
    mend = ("Once the limits are kept, mend it with" if failed else "Mend it with") + f":\n{_mend()}"
    mend = "" if told else f" {mend}"
    if did and did.broken:
        return (
            f"❌ **{_names(did.broken)} failed here**, so that nothing after it ran: why is in the log of this run. "
            f"The figures below are those of the last run that came to its end."
        )
    if waiting:
        return (
            f"⚠️ **`dvc.lock` is stale and was not recomputed**: {_names(waiting)} would run, and what depends on "
            f"it. The figures below are those of the last run.{mend}"
        )
    changed = changes(recorded, current)
    doubt = " DVC could not say whether anything is left to run." if waiting is None else ""
    trained = "The model was trained anew." if "train" in (did.ran if did else changed) else "Nothing was trained."
    if not recorded:
        return f"⚠️ **`dvc.lock` is not committed.** {trained}{doubt}{mend}"
    if any(change.causes or change.upstream for change in changed.values()):
        return (
            f"⚠️ **`dvc.lock` as committed is stale; {_done(did, list(changed))}. {trained} The figures below are the "
            f"new ones.{doubt}{mend}"
        )
    if changed:
        return (
            f"⚠️ **The same inputs gave other results here**: {_names(list(changed))}. This machine computes other last "
            f"bits (no x86-64 processor with AVX2, CUDA, or other versions than `requirements.lock` pins), or the "
            f"committed `dvc.lock` was not written by `dvc repro`.{doubt}{mend}"
        )
    again = [name for name in did.ran if name not in did.failed] if did else []
    if again:
        return (
            f"⚠️ **Not all that `dvc.lock` names could be restored; run again here, with the same results**: "
            f"{_names(again)}. {trained}{doubt}{mend}"
        )
    if failed:
        rest = f" {trained}" if did else ""
        return f"`dvc.lock` is as committed, and holds nothing of `check`, which failed.{rest}{doubt}"
    if doubt:
        return f"`dvc.lock` is as committed.{doubt}"
    nothing = "nothing had to be trained or run" if did else "`dvc repro` has nothing to run"
    return f"`dvc.lock` is current: {nothing}; all results are as committed."


def in_this_run(changed: dict[str, Change], did: Repro | None, *, failed: bool) -> dict[str, str]:
    """What happened to each stage since the commit, in Markdown; stages that are as committed are left out.

    Args:
        changed: stages that dvc.lock says something else about than the commit's.
        did: what `dvc repro` did, or None where nobody noted it down: then what differs must have run.
        failed: `check` failed.
    """
    texts = {name: f"ran: {change}" for name, change in changed.items()}
    if did:
        texts |= {name: f"from DVC's cache: {changed[name]}" for name in did.restored if name in changed}
        texts |= {name: "ran: the same inputs, the same result" for name in did.ran if name not in changed}
    for name in [CHECK] * failed + (did.broken if did else []):
        texts[name] = "failed: `dvc.lock` keeps nothing of a failed stage"
    return texts


def _done(did: Repro | None, changed: list[str]) -> str:
    """How dvc.lock was brought up to date. It ends the words in bold that it is put behind."""
    restored = [name for name in did.restored if name in changed] if did else []
    ran = did.ran if did else changed
    if restored and not ran:
        return f"restored here from DVC's cache**: {_names(restored)}"
    end = f"; restored from DVC's cache: {_names(restored)}" if restored else ""
    return f"recomputed here**: {_names(ran or changed)}{end}"


def _names(stages: list[str]) -> str:
    return listed([code(name) for name in stages], 10)


def _mend() -> str:
    # Indented, since it stands in an item of a list.
    return f"\n  ```sh\n  {mend()}\n  ```"
