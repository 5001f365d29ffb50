"""Do the images of a window look as those that the model was judged on? Three tests that see different things.

The distribution of each softmax output (black-box shift detection: Lipton et al. 2018; Rabanser et al. 2019, "Failing
Loudly") sees what the model sees. Image statistics see what it does not care about, yet. The tail count sees a few
foreign images among many ordinary ones. Together they have one Bonferroni budget, a third each, for they are three
questions: else the ten and eight dependent features of two of them would take all from the third.
"""

import numpy as np

from digits.drift_reference import Reference
from digits.errors import PipelineError
from digits.image_statistics import NAMES, image_statistics
from monitoring import kolmogorov_smirnov, tail
from monitoring.result import MOST_UNUSUAL, Detector, Feature, Result

SOFTMAX, STATISTICS, TAIL = "softmax outputs", "image statistics", "tail count"


class RankError(PipelineError):
    """A tail that begins beyond all of the reference."""


def data_drift(reference: Reference, images: np.ndarray, probabilities: np.ndarray, rank: int) -> Result:
    """The joint result, with one part a test.

    Args:
        reference: of the version that answered.
        images: uint8 (n, 28, 28).
        probabilities: what it answered, float32 (n, classes).
        rank: the tail begins beyond the so many largest distances of the reference.

    Raises:
        RankError: the reference has fewer.
    """
    return joined(reference, image_statistics(images), probabilities, rank)


def joined(reference: Reference, statistics: np.ndarray, probabilities: np.ndarray, rank: int) -> Result:
    """`data_drift` of images whose statistics (n, 8) are known."""
    classes = [f"probability of {label}" for label in range(probabilities.shape[1])]
    parts = (
        compare(SOFTMAX, classes, reference.probabilities, probabilities.T),
        compare(STATISTICS, NAMES, reference.statistics, statistics.T),
        far_out(reference, statistics, rank),
    )
    first = min(parts, key=_p_value)
    return Result(
        detector=Detector.DATA_DRIFT,
        test=first.test,
        statistic=first.statistic,
        p_value=min(1.0, len(parts) * _p_value(first)),
        n=len(statistics),
        effect=first.effect,
        effect_name=first.effect_name,
        features=first.features,
        positions=first.positions,
        parts=parts,
    )


def compare(test: str, names: "list[str] | tuple[str, ...]", reference: np.ndarray, window: np.ndarray) -> Result:
    """Kolmogorov-Smirnov of each feature, (F, M) against (F, n), corrected for their number (Bonferroni)."""
    found = kolmogorov_smirnov.distances(reference, window)
    p_values = kolmogorov_smirnov.p_values(found.statistics, reference.shape[1], window.shape[1])
    order = np.argsort(-found.statistics, kind="stable")
    worst = order[0]
    # The images that carry the difference: those farthest to the side to which the most unusual feature went.
    unusual = np.argsort(-found.signs[worst] * window[worst], kind="stable")[:MOST_UNUSUAL]
    return Result(
        detector=Detector.DATA_DRIFT,
        test=test,
        statistic=float(found.statistics[worst]),
        p_value=float(min(1.0, len(names) * p_values[worst])),
        n=window.shape[1],
        effect=float(found.statistics[worst]),
        effect_name="largest distance of the distribution functions",
        features=tuple(
            Feature(names[place], float(found.signs[place] * found.statistics[place]), float(p_values[place]))
            for place in order
        ),
        positions=tuple(unusual.tolist()),
    )


def far_out(reference: Reference, statistics: np.ndarray, rank: int) -> Result:
    """How many images are beyond the `rank` largest Mahalanobis distance of the reference.

    Raises:
        RankError: it has fewer.
    """
    if rank > len(reference):
        raise RankError(
            f"params.yaml: monitoring.tail_rank: {rank} is more than the {len(reference):,} images of the reference; "
            f"lower it"
        )
    distances = reference.distance(statistics)
    count = tail.tail_count(reference.distances, distances, rank)
    unusual = np.argsort(-distances, kind="stable")[:MOST_UNUSUAL]
    p_value = tail.p_value(count, len(statistics), len(reference), rank)
    usual = rank / (len(reference) + 1)
    return Result(
        detector=Detector.DATA_DRIFT,
        test=TAIL,
        statistic=float(count),
        p_value=p_value,
        n=len(statistics),
        effect=count / len(statistics) - usual,
        effect_name="share of images beyond the usual",
        features=(Feature("Mahalanobis distance", float(count), p_value),),
        positions=tuple(unusual.tolist()),
    )


def _p_value(result: Result) -> float:
    assert result.p_value is not None
    return result.p_value
