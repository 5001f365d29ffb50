"""What adds up over several windows of one version: predicted classes, and labels, which come when they come."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from digits.dataset import CLASSES
from monitoring.concept_drift import Cusum
from monitoring.label_shift import in_excess, label_shift
from monitoring.performance import accuracy
from monitoring.result import MOST_UNUSUAL, Result
from monitoring.settings import CusumParams, MonitoringParams
from monitoring.state import Labels, Stream
from monitoring.windows import Piece


class Labelled(NamedTuple):
    """One label that came: when, for which prediction, and what both say."""

    time: int
    image: str
    truth: int
    predicted: int


def begin(params: CusumParams) -> Stream:
    """A version's first prediction."""
    return Stream(Cusum(params.usual, params.harmful, params.threshold))


def with_classes(stream: Stream, piece: Piece, reference: np.ndarray, window: int) -> tuple[Stream, list[Result]]:
    """Count a piece's predicted classes, and test them once so many have come together since the last test.

    Args:
        stream: of the piece's version.
        piece: one that is over.
        reference: how often each class was predicted for the reference, int (classes,).
        window: at least so many are tested, none of them twice.
    """
    predicted = np.array(stream.predicted) + np.bincount(piece.labels, minlength=CLASSES)
    examples = tuple(
        (*(piece.ids[place] for place in np.flatnonzero(piece.labels == label)[::-1]), *known)[:MOST_UNUSUAL]
        for label, known in enumerate(stream.examples)
    )
    results = []
    if predicted.sum() >= window:
        result = label_shift(reference, predicted)
        grown = in_excess(result)
        results.append(result if grown is None else dataclasses.replace(result, images=examples[grown]))
        predicted = np.zeros(CLASSES, int)
    return dataclasses.replace(stream, predicted=tuple(predicted.tolist()), examples=examples), results


def with_labels(
    stream: Stream, labels: Sequence[Labelled], params: MonitoringParams
) -> tuple[Stream, list[tuple[int, Result]]]:
    """Take labels, by the time when they came: the CUSUM one by one, the accuracy by so many together.

    Returns:
        the stream, and results with their times: whenever the CUSUM reaches its threshold, and where it stands in the
        end; each accuracy.
    """
    cusum, block, count, errors = stream.cusum, stream.labels, stream.labelled, stream.wrong
    results: list[tuple[int, Result]] = []
    for label in labels:
        wrong = label.truth != label.predicted
        before, cusum, count, errors = cusum, cusum.after(wrong, label.image), count + 1, errors + wrong
        if cusum.alarmed and not before.alarmed:
            results.append((label.time, cusum.result(count)))
        images = (label.image, *block.images)[:MOST_UNUSUAL] if wrong else block.images
        block = Labels((*block.truths, label.truth), (*block.wrong, wrong), images)
        if len(block.truths) >= params.accuracy.window:
            result = accuracy(np.array(block.truths), np.array(block.wrong), params.accuracy.at_least, block.images)
            results.append((label.time, result))
            block = Labels()
    if labels:
        results.append((labels[-1].time, cusum.result(count)))
    return dataclasses.replace(stream, cusum=cusum, labels=block, labelled=count, wrong=errors), results
