"""Print what the pipeline has made: a short table, and whether dvc.lock was reproduced to the bit.

Run at the end of `make repro`, or alone: python -m reporting.summary
"""

import json
from pathlib import Path
from typing import Any

from reporting import lockfile
from reporting.revisions import LOCK, Reader, committed, recorded_lock, workspace

METRICS = Path("results/evaluate/metrics.json")
VERDICT = Path("results/check/verdict.json")
TIMES = Path("timings/train.json")

NEXT = "Next: look at results/evaluate/worst_mistakes.png, then try `dvc exp run -S train.learning_rate=0.1 evaluate`."
RESTORE = "restore the committed results with: git checkout dvc.lock results && dvc pull"


def main() -> None:
    """Print the table."""
    metrics, verdict = json.loads(METRICS.read_text()), json.loads(VERDICT.read_text())
    times = json.loads(TIMES.read_text()) if TIMES.exists() else None
    print()
    for name, value in table(metrics, verdict, times):
        print(f"  {name:14s} {value}")
    lock = reproduced(committed("HEAD"), workspace) if verdict["passed"] else "not updated, because check failed"
    print(f"  {'dvc.lock':14s} {lock}")
    print(f"\n{NEXT}")


def table(metrics: dict[str, Any], verdict: dict[str, Any], times: dict[str, float] | None) -> list[tuple[str, str]]:
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


def reproduced(before: Reader, after: Reader) -> str:
    """Say whether this run came to the committed result, and if not, why that can be and how to restore it.

    Args:
        before: reader of what is committed.
        after: reader of what this run has written.
    """
    recorded = before(LOCK)
    if recorded is None:
        return "not committed yet: git add dvc.lock"
    if recorded == after(LOCK):
        return "reproduced to the bit"
    changes = lockfile.changes(recorded_lock(before), recorded_lock(after))
    changed = sorted({cause for change in changes.values() for cause in change.causes})
    if changed:
        return f"differs, because of what you changed: {', '.join(changed)}\n  {'':14s} {RESTORE}"
    return (
        "differs, though nothing was changed: this machine computes other last bits (no x86-64 processor with AVX2,\n"
        f"  {'':14s} a CUDA device, another zlib, or other versions than requirements.lock pins)\n  {'':14s} {RESTORE}"
    )


if __name__ == "__main__":
    main()
