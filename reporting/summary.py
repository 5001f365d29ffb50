"""Print what the pipeline has made: a short table, and whether dvc.lock was reproduced to the bit.

Run at the end of `make repro`, or alone: python -m reporting.summary
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

METRICS = Path("results/evaluate/metrics.json")
VERDICT = Path("results/check/verdict.json")
TIMES = Path("timings/train.json")
LOCK = Path("dvc.lock")

NEXT = "Next: look at results/evaluate/worst_mistakes.png, then try `dvc exp run -S train.learning_rate=0.1 evaluate`."
RESTORE = "restore the committed results with: git checkout dvc.lock results && dvc pull"


def main() -> None:
    """Print the table."""
    metrics, verdict = json.loads(METRICS.read_text()), json.loads(VERDICT.read_text())
    times = json.loads(TIMES.read_text()) if TIMES.exists() else None
    print()
    for name, value in table(metrics, verdict, times):
        print(f"  {name:14s} {value}")
    lock = reproduced(committed_lock(), LOCK.read_text()) if verdict["passed"] else "not updated, because check failed"
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


def committed_lock() -> str | None:
    """dvc.lock as Git has it, or None where there is no commit with one."""
    answer = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None


def reproduced(committed: str | None, current: str) -> str:
    """Say whether this run came to the committed result, and if not, why that can be and how to restore it."""
    if committed is None:
        return "not committed yet: git add dvc.lock"
    if committed == current:
        return "reproduced to the bit"
    before, after = (yaml.safe_load(text) for text in (committed, current))
    changed = sorted(inputs_changed(before["stages"], after["stages"]))
    if changed:
        return f"differs, because of what you changed: {', '.join(changed)}\n  {'':14s} {RESTORE}"
    return (
        "differs, though nothing was changed: this machine computes other last bits (no x86-64 processor with AVX2,\n"
        f"  {'':14s} a CUDA device, another zlib, or other versions than requirements.lock pins)\n  {'':14s} {RESTORE}"
    )


def inputs_changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Files and params that a person changed: inputs of a stage that are no stage's output."""
    made = {out["path"] for lock in (before, after) for stage in lock.values() for out in stage.get("outs", [])}
    changed = set(before) ^ set(after)
    for name in before.keys() & after.keys():
        old, new = _inputs(before[name]), _inputs(after[name])
        changed |= {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    return changed - made


def _inputs(stage: dict[str, Any]) -> dict[str, Any]:
    params = {key: value for values in stage.get("params", {}).values() for key, value in values.items()}
    return {"cmd": stage["cmd"]} | {dep["path"]: dep.get("md5") for dep in stage.get("deps", [])} | params


if __name__ == "__main__":
    main()
