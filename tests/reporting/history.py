"""A small Git repository with what the pipeline leaves behind, and without DVC."""

import copy
import hashlib
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import yaml

from reporting import predictions, revisions

LABELS = np.arange(1000) % 10
PARAMS = {"train": {"learning_rate": 0.2}, "model": {"channels": [4, 8]}}
METRICS = {
    "accuracy": 0.98,
    "accuracy_95": {"low": 0.97, "high": 0.99},
    "errors": 20,
    "loss": 0.05,
    "per_class": {str(digit): {"precision": 0.98, "recall": 0.98} for digit in range(10)},
    "parameters": 1142,
}


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def archive(predicted: np.ndarray, labels: np.ndarray = LABELS) -> bytes:
    """Bytes of predictions.npz."""
    buffer = io.BytesIO()
    np.savez(buffer, labels=labels.astype(np.uint8), predicted=predicted.astype(np.uint8))
    return buffer.getvalue()


def wrong(*places: int) -> np.ndarray:
    """Predictions that are right but for some images, which are taken for the next class."""
    predicted = LABELS.copy()
    predicted[list(places)] = (predicted[list(places)] + 1) % 10
    return predicted


def write(path: str, content: str | bytes) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def limit(metric="accuracy", relation="above", **values) -> dict:
    """A line of the verdict."""
    return {
        "metric": metric,
        "relation": relation,
        "limit": 0.95,
        "value": 0.98,
        "margin": 0.03,
        "passed": True,
    } | values


def results(params=PARAMS, metrics=METRICS, limits=None, predicted=None, loss=0.5) -> None:
    """Write what a run of the pipeline with these params leaves behind."""
    limits = [limit(value=metrics["accuracy"])] if limits is None else limits
    content = archive(wrong(*range(20)) if predicted is None else predicted)
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    write("params.yaml", yaml.safe_dump(params, sort_keys=False))
    write("dvc.yaml", yaml.safe_dump({"stages": {"evaluate": {"metrics": [{revisions.EVALUATION: {"cache": False}}]}}}))
    write(revisions.EVALUATION, json.dumps(metrics))
    write(revisions.VERDICT, json.dumps({"passed": all(item["passed"] for item in limits), "limits": limits}))
    write(revisions.LOSS, "step\tloss\n" + "".join(f"{step}\t{loss + 1 / step}\n" for step in range(1, 100)))
    write(predictions.PATH, content)
    write(f"{predictions.CACHE}/{checksum[:2]}/{checksum[2:]}", content)
    lock = {
        "train": {"cmd": "train", "params": {"params.yaml": params}, "outs": [{"path": "model", "md5": str(params)}]},
        "evaluate": {
            "cmd": "evaluate",
            "deps": [{"path": "model", "md5": str(params)}],
            "outs": [{"path": predictions.PATH, "md5": checksum}],
        },
    }
    write("dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": lock}, sort_keys=False))


def commit(message="change") -> None:
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", message)


def start() -> None:
    """A repository whose branch `base` holds a first run."""
    git("init", "--quiet", "--initial-branch", "main")
    write(".gitignore", ".dvc/\n.dvcstore/\nresults/evaluate/predictions.npz\nreport.md\n")
    results()
    commit()
    git("branch", "base")


def altered(tree: dict, **values) -> dict:
    """A copy of nested params or metrics with some of its top-level entries replaced."""
    return copy.deepcopy(tree) | values
