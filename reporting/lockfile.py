"""Which stages ran and why, from what dvc.lock said before and says now."""

import dataclasses
import subprocess
from typing import Any

from reporting.markdown import code, listed, pair
from reporting.revisions import flat, same

CHECK = "check"
MEND = "dvc repro && dvc push\ngit add dvc.lock results .dvcstore\ngit commit"


@dataclasses.dataclass(frozen=True)
class Change:
    """Why a stage is not what it was. All texts are Markdown."""

    causes: list[str]  # inputs that a person changed
    upstream: list[str]  # inputs that another stage writes
    outputs: list[str]

    def __str__(self) -> str:
        parts = [listed(self.causes)] if self.causes else []
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
            result[name] = Change(["new stage" if old is None else "stage removed"], [], [])
            continue
        inputs = _differing(_sums(old, "deps"), _sums(new, "deps"))
        causes = [] if old.get("cmd") == new.get("cmd") else ["its command"]
        causes += _params(flat(old.get("params") or {}), flat(new.get("params") or {}))
        causes += [code(path) for path in inputs if path not in made]
        outputs = [code(path) for path in _differing(_sums(old, "outs"), _sums(new, "outs"))]
        result[name] = Change(causes, [code(path) for path in inputs if path in made], outputs)
    return {name: change for name, change in result.items() if change.causes or change.upstream or change.outputs}


def _sums(stage: dict[str, Any], part: str) -> dict[str, Any]:
    return {item["path"]: item.get("md5") for item in stage.get(part, [])}


def _differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [key for key in {**old, **new} if not same(old.get(key), new.get(key)) or (key in old) != (key in new)]


def _params(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    # The first part of a key is the name of its file.
    texts = []
    for key in _differing(old, new):
        name = code(key.removeprefix("params.yaml."))
        base, head = pair(old.get(key), new.get(key))
        texts.append(f"{name} {base} → {head}" if key in old and key in new else name)
    return texts


def waiting() -> list[str] | None:
    """Stages that `dvc repro` would run now, or None where DVC can't tell. The report's only call of DVC."""
    command = ["dvc", "repro", "--dry", "--allow-missing"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    stages = [line.split("'")[1] for line in answer.stdout.splitlines() if line.startswith("Running stage '")]
    # It also fails where a stage would need the output of an earlier one, which a dry run does not write.
    return stages if stages or answer.returncode == 0 else None


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
    return "\n".join(["", "  ```sh", *(f"  {line}" for line in MEND.splitlines()), "  ```"])
