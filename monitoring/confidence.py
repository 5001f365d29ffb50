"""How sure the model says it is. That is no estimate of accuracy: under drift it stays high while accuracy falls."""

import numpy as np

from digits.drift_reference import Reference

# Upper ends of the parts but the last, which ends at 1. The first holds all in which no class has more than half.
EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)


def of_answers(probabilities: np.ndarray) -> np.ndarray:
    """How many answers are so sure: int (len(EDGES) + 1,) of probabilities (N, classes)."""
    parts = np.searchsorted(np.asarray(EDGES, np.float32), probabilities.max(1), side="left")
    return np.bincount(parts, minlength=len(EDGES) + 1)


def of_reference(reference: Reference) -> np.ndarray:
    """The same of the reference's images, int (len(EDGES) + 1,).

    A reference has each class's probabilities sorted, and no longer which belong to one image. But what is above one
    half is the largest of its image, whichever that is, so all parts except the first can be counted by class.
    """
    edges = np.asarray(EDGES, np.float32)
    above = np.sum([len(row) - np.searchsorted(row, edges, side="right") for row in reference.probabilities], 0)
    return -np.diff([len(reference), *above, 0])
