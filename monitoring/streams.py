"""What adds up over several windows of one version: predicted classes, and labels, which come when they come."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from digits.dataset import CLASSES
from monitoring.alerts import Track
from monitoring.concept_drift import Cusum
from monitoring.label_shift import in_excess, label_shift
from monitoring.performance import accuracy
from monitoring.result import MOST_UNUSUAL, Detector, Result
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
        predicted, examples = np.zeros(CLASSES, int), ((),) * CLASSES
    return dataclasses.replace(stream, predicted=tuple(predicted.tolist()), examples=examples), results


def with_labels(
    stream: Stream, labels: Sequence[Labelled], params: MonitoringParams
) -> tuple[Stream, list[tuple[int, Result]]]:
    """Take labels, by the time when they came: the CUSUM one by one, the accuracy by so many together.

    Args:
        stream: of the labels' version. The evidence of its CUSUM stays what it is if `params` are others by now.
        labels: with no gap in between.
        params: section `monitoring`.

    Returns:
        the stream, and results with their times: whenever the CUSUM reaches its threshold, and where it stands in the
        end; each accuracy.
    """
    if not labels:
        return stream, []
    block, count, errors = stream.labels, stream.labels_since_gap, stream.wrong
    statistic = min(stream.cusum.statistic, params.cusum.threshold)
    cusum = dataclasses.replace(stream.cusum, **dataclasses.asdict(params.cusum), statistic=statistic)
    results: list[tuple[int, Result]] = []
    if cusum.alarmed and not stream.cusum.alarmed:  # by a lower threshold
        results.append((labels[0].time, cusum.result(count)))
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
    results.append((labels[-1].time, cusum.result(count)))
    stream = dataclasses.replace(
        stream,
        cusum=cusum,
        newest_label=labels[-1].time,
        labels=block,
        labels_since_gap=count,
        labelled=stream.labelled + len(labels),
        wrong=errors,
    )
    return stream, results


def without_gaps(labels: Sequence[Labelled], gap: int) -> Iterator[list[Labelled]]:
    """The stretches of labels between which none came for more than `gap` microseconds."""
    stretch: list[Labelled] = []
    for label in labels:
        if stretch and label.time - stretch[-1].time > gap:
            yield stretch
            stretch = []
        stretch.append(label)
    if stretch:
        yield stretch


def interrupted(stream: Stream, detectors: Sequence[Detector], known_since: int) -> Stream:
    """After a gap: what comes next is not in a row with what was before, nor tested or counted together with it.

    Args:
        stream: of one version.
        detectors: whose results are interrupted.
        known_since: results of before say nothing any more; microseconds since 1970, UTC.
    """
    tracks = {detector: stream.tracks.get(detector, Track()) for detector in detectors}
    tracks = {detector: track.interrupted(judged=track.time >= known_since) for detector, track in tracks.items()}
    stream = dataclasses.replace(stream, tracks=stream.tracks | tracks)
    if Detector.LABEL_SHIFT in detectors:
        stream = dataclasses.replace(stream, predicted=(0,) * CLASSES)
    if Detector.ACCURACY in detectors:
        stream = dataclasses.replace(stream, labels=Labels(), labels_since_gap=0)
    return stream
