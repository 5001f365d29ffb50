"""What adds up over several windows of one version: predicted classes, and labels, which come when they come."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from delivery.history import Rows
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


def of_sources(rows: Rows, sources: Sequence[str] | None) -> Rows:
    """Those whose label came from one of `sources`; all, if that is None."""
    return rows if sources is None else rows.take([at for at, name in enumerate(rows.sources) if name in sources])


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
    """After a gap: results of before say nothing any more, and windows before and after it are not in a row.

    What adds up over several windows goes on adding up, or who gets a few labels a day would never have enough.

    Args:
        stream: of one version.
        detectors: whose results are interrupted.
        known_since: results of before say nothing any more; microseconds since 1970, UTC.
    """
    tracks = dict(stream.tracks)
    for detector in detectors:
        track = tracks.get(detector, Track())
        known = track.time >= known_since
        tracks[detector] = track.interrupted(known) if detector is Detector.DATA_DRIFT else track.at(known)
    since_gap = 0 if Detector.CONCEPT_DRIFT in detectors else stream.labels_since_gap
    return dataclasses.replace(stream, tracks=tracks, labels_since_gap=since_gap)


def anew(stream: Stream) -> Stream:
    """Without what was counted and not tested yet, and with no row: only the CUSUM keeps its evidence."""
    return dataclasses.replace(
        stream,
        tracks={detector: track.interrupted(judged=True) for detector, track in stream.tracks.items()},
        predicted=(0,) * CLASSES,
        examples=((),) * CLASSES,
        labels=Labels(),
        labels_since_gap=0,
    )
