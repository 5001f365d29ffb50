"""Which stages ran and why, from what dvc.lock said before and says now."""

import dataclasses
import subprocess
from typing import Any

from digits.errors import PipelineError
from reporting.markdown import code, listed, pair
from reporting.revisions import PARAMS, flat, same

CHECK = "check"
DRY_RUN = ("dvc", "repro", "--dry", "--allow-missing")
FAILED = "ERROR: failed to reproduce '"
MEND = "dvc repro && dvc push && git add dvc.lock results .dvcstore && git commit"


class DryRunError(PipelineError):
    """DVC can't tell what it would run."""


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
    lines = (answer.stdout + answer.stderr).splitlines()
    stages = [line.split("'")[1] for line in lines if line.startswith(("Running stage '", FAILED))]
    if answer.returncode and not stages:
        raise DryRunError(f"{' '.join(DRY_RUN)}: {answer.stderr.strip() or answer.stdout.strip()}")
    return list(dict.fromkeys(stages))


def state(recorded: dict[str, Any], current: dict[str, Any], waiting: list[str] | None, *, violated: bool) -> str:
    """Say in Markdown whether dvc.lock is current, whether anything was trained, and what mends it if need be.

    Args:
        recorded: stages of dvc.lock as committed.
        current: the same as it is in the workspace.
        waiting: what `dvc repro` would run now; None where that is unknown.
        violated: `check` failed, so that `dvc repro` can't end well before the limits are kept.
    """
    if not current:
        return "⚠️ **There is no `dvc.lock`**: nothing has been run yet. `dvc repro` writes it."
    mend = ("Once the limits are kept, mend it with" if violated else "Mend it with") + f":\n{_mend()}"
    ran = changes(recorded, current)
    names = listed([code(name) for name in ran], 10)
    if waiting:
        would = listed([code(name) for name in waiting], 10)
        return (
            f"⚠️ **`dvc.lock` is stale and was not recomputed**: {would} would run, and what depends on "
            f"it. The figures below are those of the last run. {mend}"
        )
    doubt = " DVC could not say whether anything is left to run." if waiting is None else ""
    trained = "The model was trained anew." if "train" in ran else "Nothing was trained."
    if not recorded:
        return f"⚠️ **`dvc.lock` is not committed.** {trained}{doubt} {mend}"
    if any(change.causes or change.upstream for change in ran.values()):
        return (
            f"⚠️ **`dvc.lock` as committed is stale; recomputed here**: {names}. {trained} The figures below are the "
            f"new ones.{doubt} {mend}"
        )
    if ran:
        return (
            f"⚠️ **The same inputs gave other results here**: {names}. This machine computes other last bits (no x86-64 "
            f"processor with AVX2, CUDA, or other versions than `requirements.lock` pins), or the committed "
            f"`dvc.lock` was not written by `dvc repro`.{doubt} {mend}"
        )
    return (
        f"`dvc.lock` is as committed.{doubt}"
        if doubt
        else "`dvc.lock` is current: nothing had to be trained or run; all results are as committed."
    )


def _mend() -> str:
    # Indented, since it stands in an item of a list.
    return f"\n  ```sh\n  {MEND}\n  ```"
