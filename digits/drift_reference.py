"""What traffic is compared with: what a model made of images that it was not trained on, sorted once. NumPy only."""

import dataclasses

import numpy as np

from digits.errors import PipelineError
from digits.image_statistics import NAMES, image_statistics

_RIDGE = 1e-6  # on correlations, so that a figure which never varies, or follows from others, does no harm


class DriftReferenceError(PipelineError):
    """Arrays that are no reference, or one of another form than this program's."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Held-out images as one version of the model sees them, M of them, drawn at random."""

    probabilities: np.ndarray  # float32 (classes, M), each row ascending
    statistics: np.ndarray  # float64 (8, M): `image_statistics.NAMES`, each row ascending
    mean: np.ndarray  # float64 (8,), of the statistics
    whitening: np.ndarray  # float64 (8, 8), lower triangle: makes the statistics uncorrelated, of variance 1
    distances: np.ndarray  # float64 (M,), Mahalanobis, each from the mean of all the others, ascending
    predicted: np.ndarray  # int64 (classes,): how often each class was predicted

    def __len__(self) -> int:
        return len(self.distances)

    def distance(self, statistics: np.ndarray) -> np.ndarray:
        """Mahalanobis distance from the reference's mean of image statistics (N, 8): float64 (N,)."""
        return _distance(statistics, self.mean, self.whitening)


FIELDS = tuple(field.name for field in dataclasses.fields(Reference))


def build(images: np.ndarray, probabilities: np.ndarray) -> Reference:
    """Sort out what a model made of its held-out images; bit for bit the same on every machine.

    Args:
        images: uint8 (M, H, W).
        probabilities: the model's, float32 (M, classes).
    """
    return sort(image_statistics(images), probabilities)


def sort(statistics: np.ndarray, probabilities: np.ndarray) -> Reference:
    """`build` of images whose statistics (M, 8) are known."""
    # BLAS and LAPACK differ in the last bits from one processor to another; what is left of them here is the same.
    mean = _rounded(statistics.mean(0))
    scale = statistics.std(0)
    scale[scale < 1e-6 * np.maximum(1, np.abs(mean))] = 1  # never varies
    standard = (statistics - mean) / scale
    correlation = standard.T @ standard / len(standard)
    factor = np.linalg.cholesky(correlation + _RIDGE * np.eye(len(NAMES)))
    whitening = _rounded(np.tril(np.linalg.inv(factor)) / scale)
    classes = probabilities.shape[1]
    return Reference(
        probabilities=np.sort(probabilities.T, axis=1),
        statistics=np.sort(statistics.T, axis=1),
        mean=mean,
        whitening=whitening,
        distances=np.sort(_from_the_others(_distance(statistics, mean, whitening))),
        predicted=np.bincount(probabilities.argmax(1), minlength=classes),
    )


def checked(name: str, *arrays: np.ndarray) -> Reference:
    """A reference from arrays in the order of `FIELDS`, as a file has them.

    Raises:
        DriftReferenceError: they are not what `build` makes; `name` says which file.
    """
    reference = Reference(*arrays)
    classes, size, count = len(reference.predicted), len(reference), len(NAMES)
    shapes = {
        "probabilities": (np.float32, (classes, size)),
        "statistics": (np.float64, (count, size)),
        "mean": (np.float64, (count,)),
        "whitening": (np.float64, (count, count)),
        "distances": (np.float64, (size,)),
        "predicted": (np.int64, (classes,)),
    }
    for field, (kind, shape) in shapes.items():
        array = getattr(reference, field)
        if array.dtype != kind or array.shape != shape or not np.isfinite(array).all():
            raise DriftReferenceError(
                f"{name}: {field} is {array.dtype} {array.shape}, expected finite {kind.__name__} {shape}; "
                f"a reference is made by `dvc repro evaluate`, with the version that monitors by it"
            )
    sorted_ones = (reference.probabilities, reference.statistics, reference.distances)
    if size == 0 or any((np.diff(array) < 0).any() for array in sorted_ones) or reference.predicted.sum() != size:
        raise DriftReferenceError(f"{name}: not sorted, empty or miscounted; write it anew with `dvc repro evaluate`")
    return reference


def _distance(statistics: np.ndarray, mean: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    # Entry by entry, since a matrix product's last bits depend on the processor.
    deviations = (statistics - mean).T
    square = np.zeros(len(statistics))
    for row, weights in enumerate(whitening):
        along = np.zeros(len(statistics))
        for weight, deviation in zip(weights[: row + 1], deviations, strict=False):
            along += weight * deviation
        square += along * along
    return np.sqrt(square)


def _from_the_others(distances: np.ndarray) -> np.ndarray:
    """What the distances would be, had each image not been among those that mean and covariance come from.

    Images of a window are not, and would seem a little farther off (Sherman & Morrison 1950).
    """
    others = len(distances) - 1
    square = np.minimum(distances * distances / others, 1 - 1e-6)
    return np.asarray(np.sqrt((others + 1) * square / (1 - square)))


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.7g}") for value in values.ravel()]).reshape(values.shape)
