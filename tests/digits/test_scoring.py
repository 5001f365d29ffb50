import json

import numpy as np
import pytest

from digits.scoring import (
    confusion_matrix,
    cross_entropy,
    expected_calibration_error,
    metrics,
    per_class,
    wilson_interval,
)

# Ten classes would hide the arithmetic; three do not. Predicted: 0 1 1 2 2 0.
LABELS = np.array([0, 0, 1, 2, 2, 2], np.uint8)
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.9, 0.0], [0.0, 0.1, 0.9], [0.2, 0.1, 0.7], [0.5, 0.2, 0.3]], np.float32
)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (95, 100, 0.8882, 0.9785),
        (81, 263, 0.2553, 0.3662),  # this and the next three: Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_interval_is_the_published_one(correct, total, low, high):
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_interval_of_no_share_is_refused(correct, total):
    with pytest.raises(ValueError, match=f"{correct} of {total} is no share"):
        wilson_interval(correct, total)


def test_confusion_matrix_has_true_classes_in_rows():
    matrix = confusion_matrix(LABELS, PROBABILITIES.argmax(1), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_confusion_matrix_does_not_overflow_the_type_of_the_labels():
    labels = np.array([30], np.uint8)
    assert confusion_matrix(labels, labels, 31)[30, 30] == 1


def test_per_class_figures_are_those_by_hand():
    figures = per_class(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 2]]))
    assert figures["0"] == pytest.approx({"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2})
    assert figures["1"] == pytest.approx({"precision": 1 / 2, "recall": 1, "f1": 2 / 3})
    assert figures["2"] == pytest.approx({"precision": 1, "recall": 2 / 3, "f1": 4 / 5})


def test_class_that_is_never_predicted_and_does_not_occur_scores_zero():
    assert per_class(np.array([[2, 0], [0, 0]]))["1"] == {"precision": 0, "recall": 0, "f1": 0}


def test_cross_entropy_is_the_mean_of_the_negative_logarithms():
    expected = -np.log([0.7, 0.3, 0.9, 0.9, 0.7, 0.3]).mean()
    assert cross_entropy(PROBABILITIES, LABELS) == pytest.approx(expected, rel=1e-6)


def test_probability_of_zero_costs_a_finite_amount():
    assert cross_entropy(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-12))


def test_calibration_error_by_hand():
    # Bins of a half: all six confidences (.7 .6 .9 .9 .7 .5) are in the upper one; 4 of 6 are right.
    assert expected_calibration_error(PROBABILITIES, LABELS, bins=2) == pytest.approx(abs(4.3 - 4) / 6, abs=1e-6)
    # Bins of a fifth: [.4, .6) holds .5 (wrong), [.6, .8) holds .7 .6 .7 (2 right), [.8, 1] holds .9 .9 (2 right).
    by_hand = (0.5 + abs(2.0 - 2) + abs(1.8 - 2)) / 6
    assert expected_calibration_error(PROBABILITIES, LABELS, bins=5) == pytest.approx(by_hand, abs=1e-6)


def test_certain_and_right_is_perfectly_calibrated_and_certain_and_wrong_is_not():
    certain = np.eye(3)[LABELS]
    assert expected_calibration_error(certain, LABELS) == 0
    assert expected_calibration_error(certain, (LABELS + 1) % 3) == 1


def test_metrics_hold_all_figures_and_are_json():
    figures = metrics(PROBABILITIES, LABELS)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["accuracy"] == 0.666667
    assert figures["errors"] == 2
    assert figures["accuracy_95"] == {"low": 0.299993, "high": 0.903229}
    assert figures["worst_recall"] == 0.5
    assert figures["per_class"]["2"] == {"precision": 1.0, "recall": 0.666667, "f1": 0.8}
    assert figures["loss"] == pytest.approx(cross_entropy(PROBABILITIES, LABELS), abs=1e-6)
    assert figures["calibration_error"] == pytest.approx(expected_calibration_error(PROBABILITIES, LABELS), abs=1e-6)
