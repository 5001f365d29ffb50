import dataclasses
from pathlib import Path

import numpy as np
import pytest

from digits.params import load
from monitoring.settings import MonitoringParams
from monitoring.streams import Labelled, begin, with_classes, with_labels, without_gaps
from monitoring.windows import End, Piece

PARAMS = load(MonitoringParams, "monitoring", Path(__file__).parents[2] / "params.yaml")


def piece(labels: list[int], name: str) -> Piece:
    count = len(labels)
    ids = tuple(f"{name}{place}" for place in range(count))
    return Piece(
        "v", End.FULL, ids, (0,) * count, np.zeros((count, 28, 28), np.uint8), np.zeros((count, 10)), np.array(labels)
    )


def labels(pattern: str) -> list[Labelled]:
    return [Labelled(time, f"{time}", 3, 4 if sign == "x" else 3) for time, sign in enumerate(pattern)]


def test_classes_add_up_until_there_are_enough():
    reference, stream = np.full(10, 100), begin(PARAMS.cusum)
    stream, results = with_classes(stream, piece([1, 2, 2], "a"), reference, window=5)
    assert (stream.predicted[:4], results) == ((0, 1, 2, 0), [])
    stream, results = with_classes(stream, piece([2, 2, 0], "b"), reference, window=5)
    assert results[0].n == 6
    assert results[0].images == ("b1", "b0", "a2", "a1")  # of class 2, newest first
    assert sum(stream.predicted) == 0
    _, results = with_classes(stream, piece([2, 1, 1, 1, 0], "c"), reference, window=5)
    assert results[0].images == ("c3", "c2", "c1")  # none that was tested before


def test_alarm_within_a_batch_is_not_lost_in_what_follows():
    stream, results = with_labels(begin(PARAMS.cusum), labels("x" * 8 + "." * 150), PARAMS)
    assert [(time, result.statistic >= 8) for time, result in results] == [(6, True), (157, False)]
    assert (stream.labelled, stream.cusum.alarmed) == (158, False)


def test_labels_are_the_same_in_one_batch_or_in_many():
    stream = begin(PARAMS.cusum)
    whole, _ = with_labels(stream, labels("..x.x." * 60), PARAMS)
    for label in labels("..x.x." * 60):
        stream, _ = with_labels(stream, [label], PARAMS)
    assert stream == whole


def test_accuracy_is_tested_for_each_so_many_labels():
    _, results = with_labels(begin(PARAMS.cusum), labels("." * 450), PARAMS)
    tested = [(time, result.n, result.p_value) for time, result in results if result.detector == "accuracy"]
    assert tested == [(199, 200, 1.0), (399, 200, 1.0)]


def test_no_labels_are_no_result():
    assert with_labels(begin(PARAMS.cusum), [], PARAMS)[1] == []


def test_other_thresholds_hold_from_the_next_label_and_the_evidence_stays():
    stream, _ = with_labels(begin(PARAMS.cusum), labels("x" * 5), PARAMS)
    evidence = stream.cusum.statistic
    lower = dataclasses.replace(PARAMS, cusum=dataclasses.replace(PARAMS.cusum, threshold=5))
    found, results = with_labels(stream, labels("."), lower)
    assert [result.statistic >= 5 for _, result in results] == [True, False]  # told, although it is below by now
    assert (found.cusum.threshold, found.cusum.images) == (5, stream.cusum.images)
    others = dataclasses.replace(PARAMS, cusum=dataclasses.replace(PARAMS.cusum, usual=0.04, harmful=0.2, threshold=12))
    found, _ = with_labels(stream, labels("x"), others)
    assert found.cusum.statistic == pytest.approx(evidence + np.log(5))
    found, _ = with_labels(stream, labels("x" * 20), others)
    assert found.cusum.statistic == 12


def test_labels_are_parted_where_none_came_for_long():
    times = [0, 5, 10, 21, 30, 41]
    every = [Labelled(time, f"{time}", 3, 3) for time in times]
    assert [[one.time for one in part] for part in without_gaps(every, 10)] == [[0, 5, 10], [21, 30], [41]]
    assert list(without_gaps([], 10)) == []
