import dataclasses

import numpy as np
import pytest

from digits.drift_reference import FIELDS, DriftReferenceError, Reference, build, checked, sort
from digits.image_statistics import image_statistics
from tests import synthetic

IMAGES = synthetic.digits(400).images
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(10), 400).astype(np.float32)
REFERENCE = build(IMAGES, PROBABILITIES)


def arrays(**changes: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple((vars(REFERENCE) | changes)[name] for name in FIELDS)


def test_rows_are_sorted_and_classes_counted():
    np.testing.assert_array_equal(REFERENCE.probabilities[3], np.sort(PROBABILITIES[:, 3]))
    np.testing.assert_array_equal(REFERENCE.statistics[5], np.sort(image_statistics(IMAGES)[:, 5]))
    assert REFERENCE.predicted.tolist() == [(PROBABILITIES.argmax(1) == label).sum() for label in range(10)]
    assert len(REFERENCE) == 400


def test_distance_is_mahalanobis_s():
    statistics = image_statistics(synthetic.digits(20, seed=5).images)
    known = image_statistics(IMAGES)
    deviations = statistics - known.mean(0)
    inverse = np.linalg.inv(np.cov(known.T, bias=True))
    expected = np.sqrt(np.einsum("ij,jk,ik->i", deviations, inverse, deviations))
    np.testing.assert_allclose(REFERENCE.distance(statistics), expected, rtol=1e-3)


def test_each_distance_of_the_reference_is_from_all_the_others():
    statistics = image_statistics(IMAGES[:60])
    reference = sort(statistics, PROBABILITIES[:60])
    found = []
    for place in range(60):
        others = np.delete(statistics, place, axis=0)
        deviation = statistics[place] - others.mean(0)
        found.append(np.sqrt(deviation @ np.linalg.inv(np.cov(others.T, bias=True)) @ deviation))
    np.testing.assert_allclose(reference.distances, np.sort(found), rtol=2e-3)


@pytest.mark.parametrize("image", [np.zeros((28, 28), np.uint8), np.eye(28, dtype=np.uint8)])
def test_images_that_are_all_the_same_make_a_reference_that_knows_another(image):
    reference = build(np.repeat(image[None], 50, axis=0), PROBABILITIES[:50])
    assert np.isfinite(reference.distances).all()
    assert reference.distance(image_statistics(IMAGES[:1]))[0] > reference.distances[-1] + 10


def test_what_is_written_is_read(tmp_path):
    read = checked("file", *arrays())
    assert all((getattr(read, name) == getattr(REFERENCE, name)).all() for name in FIELDS)
    assert tuple(field.name for field in dataclasses.fields(Reference)) == FIELDS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"statistics": REFERENCE.statistics[:7]},
            r"^file: statistics is float64 \(7, 400\), expected finite float64 \(8,",
        ),
        ({"mean": np.full(8, np.nan)}, "mean is float64"),
        ({"predicted": np.ones(10)}, "predicted is float64"),
        ({"distances": REFERENCE.distances[::-1]}, "not sorted, empty or miscounted"),
        ({"predicted": REFERENCE.predicted + 1}, "not sorted, empty or miscounted"),
    ],
)
def test_what_is_no_reference_is_refused(changes, message):
    with pytest.raises(DriftReferenceError, match=message):
        checked("file", *arrays(**changes))
