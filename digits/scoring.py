"""How good a classifier is, from its probabilities and the true labels. NumPy only."""

import math
from typing import Any, NamedTuple

import numpy as np

_BINS = 15


class Interval(NamedTuple):
    """Bounds of a confidence interval."""

    low: float
    high: float


def wilson_interval(correct: int, total: int, z: float = 1.959963984540054) -> Interval:
    """Confidence interval of a share (Wilson 1927), 95 % by default; right for shares near 0 and 1 too.

    Raises:
        ValueError: not 0 <= correct <= total, or total is 0.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"{correct} of {total} is no share")
    share = correct / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return Interval((centre - spread) / scale, (centre + spread) / scale)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, int (classes, classes): row is the true class, column the predicted one."""
    index = labels.astype(np.int64) * classes + predicted
    return np.bincount(index, minlength=classes * classes).reshape(classes, classes)


def per_class(confusion: np.ndarray) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each class; 0 where a class was never predicted or does not occur."""
    hits = np.diag(confusion).astype(float)
    predicted, actual = confusion.sum(0), confusion.sum(1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, actual, out=np.zeros_like(hits), where=actual > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(hits), where=total > 0)
    return {
        str(label): {"precision": float(p), "recall": float(r), "f1": float(f)}
        for label, (p, r, f) in enumerate(zip(precision, recall, f1, strict=True))
    }


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log(probability of the true class), in nats. A probability of 0 counts as 1e-12."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = _BINS) -> float:
    """How far confidence is from accuracy on average, 0 to 1 (Naeini et al. 2015; equal-width bins of confidence)."""
    confidence = probabilities.max(1).astype(np.float64)
    correct = probabilities.argmax(1) == labels
    part = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(part, confidence - correct, bins)
    return float(np.abs(gap).sum() / len(labels))


def metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """All that a classifier is judged by.

    Args:
        probabilities: (N, classes), rows sum to 1.
        labels: true classes, (N,).

    Returns:
        nested figures, rounded to six decimals, for a JSON file.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    correct = int((predicted == labels).sum())
    classwise = per_class(confusion_matrix(labels, predicted, classes))
    result = {
        "accuracy": correct / len(labels),
        "accuracy_95": wilson_interval(correct, len(labels))._asdict(),
        "errors": len(labels) - correct,
        "loss": cross_entropy(probabilities, labels),
        "calibration_error": expected_calibration_error(probabilities, labels),
        "worst_recall": min(figures["recall"] for figures in classwise.values()),
        "per_class": classwise,
    }
    return {key: _rounded(value) for key, value in result.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
