"""Print what the pipeline has made: a short table, and whether dvc.lock was reproduced to the bit.

Run at the end of `make repro`, or alone: python -m reporting.summary
"""

import json
import sys
from pathlib import Path
from typing import Any

from reporting import lockfile, verify
from reporting.revisions import LOCK, PARAMS, PIPELINE, Reader, checksum, committed, recorded_lock, workspace

METRICS = Path("results/evaluate/metrics.json")
VERDICT = Path("results/check/verdict.json")
TIMES = Path("timings/train.json")
WEIGHTS = "models/model.safetensors"

NEXT = "Next: look at results/evaluate/worst_mistakes.png, then try `dvc exp run -S train.learning_rate=0.1 evaluate`."
_INDENT = f"\n  {'':14s} "


def main() -> None:
    """Print the table."""
    metrics, verdict = json.loads(METRICS.read_text()), json.loads(VERDICT.read_text())
    times = trained_here(recorded_lock(workspace))
    print()
    for name, value in table(metrics, verdict, times):
        print(f"  {name:14s} {value}")
    lock = reproduced(committed("HEAD"), workspace, computed=times is not None)
    if not verdict["passed"]:
        lock = f"says nothing new of check, which failed; otherwise {lock}"
    print(f"  {'dvc.lock':14s} {lock}")
    # DVC takes a protected object for whole and restores the damage, so that all above would be of another file.
    if damage := verify.damaged_in_cache(verify.named_objects()):
        sys.exit("\n" + "\n".join(damage))
    print(f"\n{NEXT}")


def trained_here(lock: dict[str, Any]) -> dict[str, Any] | None:
    """What was noted down of the training whose weights dvc.lock names; None where that was on another machine.

    Nothing restores `timings/`, so what lies there can be another model's.
    """
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    noted = times.get("weights_md5")
    return times if noted and noted == checksum(lock, WEIGHTS) else None


def table(metrics: dict[str, Any], verdict: dict[str, Any], times: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Rows of the table: name and value. `times` is None where nothing was trained on this machine."""
    interval = metrics["accuracy_95"]
    violated = [limit["metric"] for limit in verdict["limits"] if not limit["passed"]]
    kept = f"passed: all {len(verdict['limits'])} limits kept"
    return [
        (
            "test accuracy",
            f"{metrics['accuracy']:.2%} (95 % interval {interval['low']:.2%} to {interval['high']:.2%})",
        ),
        ("parameters", f"{metrics['parameters']:,}"),
        ("training", f"{times['seconds']:.1f} s" if times else "not on this machine (restored)"),
        ("verdict", f"FAILED: {', '.join(violated)}" if violated else kept),
    ]


def reproduced(before: Reader, after: Reader, *, computed: bool) -> str:
    """Say whether this run came to the committed result, and if not, why that can be and how to restore it.

    Args:
        before: reader of what is committed.
        after: reader of what this run has written.
        computed: the weights that it names were trained on this machine.
    """
    recorded = before(LOCK)
    if recorded is None:
        return "not committed yet: git add dvc.lock"
    if recorded == after(LOCK):
        return "reproduced to the bit" if computed else "is as committed (restored, not computed on this machine)"
    changes = lockfile.changes(recorded_lock(before), recorded_lock(after))
    changed = sorted({cause for change in changes.values() for cause in change.causes})
    if changed:
        return f"differs, because of what you changed: {', '.join(changed)}{_INDENT}{restore(changed)}"
    return (
        f"differs, though nothing was changed: this machine computes other last bits{_INDENT}"
        f"(no x86-64 processor with AVX2, a CUDA device, another zlib, or other versions than requirements.lock pins)"
        f"{_INDENT}{restore([])}"
    )


def restore(causes: list[str]) -> str:
    """The commands that undo changes, named as `lockfile.Change.causes` names them, and what came of them."""
    files = " ".join(["dvc.lock", "results", *sorted({_file(cause) for cause in causes})])
    return f"restore the committed results with: git checkout {files} && dvc pull"


def _file(cause: str) -> str:
    """The file that Git has of a cause: a dependency, a folder that DVC tracks, a param or a part of a stage."""
    if Path(f"{cause}.dvc").exists():
        return f"{cause}.dvc"
    if "/" in cause:
        return cause
    return PARAMS if "." in cause else PIPELINE


if __name__ == "__main__":
    main()
