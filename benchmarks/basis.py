"""What a result holds for: the model that ships, settings, what the detectors say. It is written under the table."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.choices import CHOICES

MODEL, DETECTORS = "models/model.onnx", "detectors"
# They stand for the program that trains, too: what changes nothing of it, such as a comment, leaves them as they are.
WEIGHTS = "models/model.safetensors"

_DRIFT = (MODEL, DETECTORS, "monitoring.tail_rank")
_POLICY = ("window", "warn", "alert", "windows_in_a_row", "calm_windows", "label_window", "cusum", "accuracy")

# By the name of the result: files that dvc.lock names, settings of params.yaml, `DETECTORS`.
HOLDS_FOR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((f"accuracy_{choice}" for choice in CHOICES), (WEIGHTS,)),
    "frontier": (WEIGHTS,),
    "distributed": (WEIGHTS,),
    "instructions": (WEIGHTS, MODEL),
    "retraining": (WEIGHTS, "preprocess.production_repeat"),
    "poisoning": (MODEL, "monitoring.feedback"),
    "drift": _DRIFT,
    "drift_sizes": _DRIFT,
    "drift_policy": (*_DRIFT, *(f"monitoring.{name}" for name in _POLICY)),
    "drift_errors": ("monitoring.cusum",),
    # Times, memory and what is lost: another model of this size makes no difference.
    **dict.fromkeys(("crashes", "drift_speed", "memory", "pipeline", "pull_request", "report"), ()),
    **dict.fromkeys(("scaling_head", "scaling_node", "scaling_sweep", "scaling_tune"), ()),
    **dict.fromkeys(("service", "speed", "start", "switching"), ()),
}


class BasisError(Exception):
    """What was measured is not what dvc.lock names."""


def line(name: str) -> str:
    """Sentence, with its line end, on what a result holds for as it is measured; nothing if for all.

    Raises:
        BasisError: a file is not the one that dvc.lock names.
    """
    stated = [f"`{one}` {value(one, present)}" for one in HOLDS_FOR.get(name, ())]
    return f"Holds for {', '.join(stated)}.\n" if stated else ""


def stated(text: str) -> dict[str, str]:
    """What a result's sentence says that it holds for."""
    sentence = re.search(r"^Holds for (.*)\.$", text, re.MULTILINE)
    return dict(re.findall(r"`(\S+)` (\S+?)(?=, `|$)", sentence[1])) if sentence else {}


def others(text: str) -> list[str]:
    """Of what a result holds for, all that is another one by now."""
    return [name for name, before in stated(text).items() if value(name, locked) != before]


def value(name: str, md5: Callable[[str], str]) -> str:
    """What is there under a name: a setting, or the first digits of a checksum."""
    if name == DETECTORS:
        return detectors()
    if "/" in name:
        return md5(name)[:8]
    setting: Any = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for key in name.split("."):
        setting = setting[key]
    return _short(json.dumps(setting, sort_keys=True)) if isinstance(setting, dict) else f"{setting}"


def locked(name: str) -> str:
    """MD5 sum of a file by dvc.lock, whatever lies there."""
    stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"].values()
    return next(str(out["md5"]) for stage in stages for out in stage.get("outs", []) if out["path"] == name)


def present(name: str) -> str:
    """MD5 sum of the file that lies there.

    Raises:
        BasisError: dvc.lock names another one.
    """
    md5 = hashlib.md5(Path(name).read_bytes(), usedforsecurity=False).hexdigest()
    if md5 != locked(name):
        raise BasisError(f"{name}: not the one that dvc.lock names; `dvc checkout` brings it back, then measure again")
    return md5


def detectors() -> str:
    """What the detectors say of images made up, in short.

    The same however they are written, other once they judge in another way. No random numbers: NumPy may change those.
    """
    from digits.drift_reference import build
    from digits.image_statistics import image_statistics
    from monitoring.data_drift import joined
    from monitoring.label_shift import label_shift

    count = 400
    numbers = (np.arange(count * 784, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)).astype(int)
    pixels = numbers.reshape(count, 28, 28)
    strength = 1 + pixels[:, :1, :1] % 255
    images = np.where(pixels % 784 < strength, pixels % strength, 0).astype(np.uint8)
    weights = (pixels[:, 1, :10] % 1000 + 1.0) ** 4
    probabilities = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    reference = build(images[:300], probabilities[:300])
    said = []
    for window, told in ((images[300:], probabilities[300:]), (images[300:] // 4 * 3, probabilities[300:] ** 1.5)):
        result = joined(reference, image_statistics(window), told, 15)
        shifted = label_shift(reference.predicted, np.bincount(told[:30].argmax(1), minlength=10))
        said += [f"{part.statistic:.6g} {part.p_value:.6g}" for part in (*result.parts, result, shifted)]
    return _short(" ".join(said))


def _short(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8]
