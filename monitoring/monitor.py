"""One look at the prediction log: new windows are cut and judged, new labels counted, alerts raised and resolved.

What time does to it is settled here:
- A gap in traffic ends windows, and no window after it is in a row with one before. After a gap in traffic, or between
  labels, results of before say nothing of now. But classes, labels and the CUSUM's evidence add up over it, also those
  of windows that it leaves too small to be judged.
- Each version is judged by its own reference. One that has answered nothing for as long as a gap, while another has, is
  retired: its alerts are resolved, and what was counted and not tested is forgotten.
- Labels count when they come, however late, for the version that made the prediction, unless it is retired. One that is
  corrected counts once: as it was when it was read. What it did to the CUSUM and the accuracy's tests stays.
- A clock that was set back by less than a gap, or an hour, is waited for, and that is said; by more, and reading begins
  anew at the new time, as after a gap, so that predictions and labels dated after it count again when it comes. Those
  dated into time already read are not judged, but their number is kept, as `late` and `late_labels`.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

from delivery.history import History, Rows, Window
from delivery.schema import SECOND
from digits.drift_reference import Reference
from digits.errors import PipelineError
from monitoring.alerts import Alert, Level, Track
from monitoring.data_drift import data_drift
from monitoring.result import Detector, Result
from monitoring.settings import MonitoringParams
from monitoring.state import Judged, State, Stream, Tested, telling
from monitoring.streams import Labelled, anew, begin, interrupted, of_sources, with_classes, with_labels, without_gaps
from monitoring.windows import Cutter, Piece

_HOUR = 3600 * SECOND
_OF_TRAFFIC, _OF_LABELS = (Detector.DATA_DRIFT, Detector.LABEL_SHIFT), (Detector.CONCEPT_DRIFT, Detector.ACCURACY)

References = Callable[[str], Reference | None]


class Monitor:
    """Judges one stage's traffic.

    Args:
        history: of the prediction log.
        stage: of whose predictions.
        references: the reference that belongs to a version; None where it is not to be had.
        params: section `monitoring`.
        state: what the last look left; after each look, `state` holds what is to be written.
    """

    def __init__(
        self, history: History, stage: str, references: References, params: MonitoringParams, state: State
    ) -> None:
        self._history, self._stage, self._references, self._params = history, stage, references, params
        self._gap, self._settle = round(params.gap_seconds * SECOND), round(params.settle_seconds * SECOND)
        self.state = state
        self._waits = ""  # for what, since the last look

    def look(self, now: int) -> list[Alert]:
        """Judge what came since the last look.

        Args:
            now: microseconds since 1970, UTC.

        Returns:
            alerts that were raised or resolved, in order. They are told once: write the state before they are sent, and
            a crash in between costs a message; after, and it costs a repetition.
        """
        until, labels_since, self._waits = now - self._settle, self.state.until, ""
        if labels_since is not None and until < labels_since:
            if labels_since - until < min(self._gap, _HOUR):  # an hour is how far back late ones are counted
                there = datetime.fromtimestamp((labels_since + self._settle) / SECOND, UTC)
                self._waits = f"the clock was set back: nothing is judged until it is {there:%F %T} UTC once more"
                return []
            streams = {name: self._set_back(stream, until) for name, stream in self.state.streams.items()}
            before, labels = self._count_before(until), self._count_labels_before(until)
            self._change(since=until, until=until, streams=streams, before=before, labels_before=labels)
            return []
        self._count_late()
        told = self._read_predictions(until)
        told += self._retire()
        told += self._read_labels(labels_since, until)
        self._change(until=until, labels_before=self._count_labels_before(until))
        return told

    def levels(self, version: str, now: int) -> dict[Detector, Level]:
        """What is known of a version at this moment; without results for as long as a gap, nothing."""
        return self.state.levels(version, now, self._gap)

    @property
    def trouble(self) -> str:
        """Why what comes can't be judged, although there is a reference; empty if all can be."""
        return self._waits or self.state.trouble(self._gap)

    def _read_predictions(self, until: int) -> list[Alert]:
        cutter, told = Cutter(self._params.window, self._gap), list[Alert]()
        for rows in self._history.predictions(Window(self.state.since, until, stage=self._stage)):
            self._note_times(rows)
            for piece in cutter.add(self._fresh(rows)):
                told += self._judge(piece)
        for piece in cutter.until(until):
            told += self._judge(piece)
        since = until if cutter.first is None else cutter.first
        self._change(since=since, before=self._count_before(since))
        return told

    def _judge(self, piece: Piece) -> list[Alert]:
        time = piece.times[-1]
        stream = dataclasses.replace(self._stream(piece.version), consumed=piece.ids[-1])
        last, known_since = stream.tracks.get(Detector.DATA_DRIFT, Track()), piece.times[0] - self._gap
        if last.time < known_since:
            stream = interrupted(stream, _OF_TRAFFIC, known_since)
        stream, results, note = self._tested(stream, piece)
        whole = any(result.detector is Detector.DATA_DRIFT for result in results)
        if not whole:
            stream = dataclasses.replace(
                stream, tracks=stream.tracks | {Detector.DATA_DRIFT: last.interrupted(judged=False)}
            )
        judged = stream.judged + whole
        self._put(piece.version, dataclasses.replace(stream, windows=stream.windows + 1, judged=judged))
        told = [alert for result in results for alert in self._follow(piece.version, result, time)]
        tracks = self._stream(piece.version).tracks
        levels = {detector: tracks.get(detector, Track()).level for detector in Detector}
        brief = tuple(result.brief() for result in results)
        window = Judged(piece.version, piece.times[0], time, len(piece), piece.end, levels, brief, note)
        self._change(windows=(*self.state.windows, window)[-self._params.kept_windows :])
        return told

    def _tested(self, stream: Stream, piece: Piece) -> tuple[Stream, list[Result], str]:
        """A window's results, or a note of why there are none. A damaged reference is one version's trouble alone."""
        stream = dataclasses.replace(stream, trouble="")
        try:
            reference = self._references(piece.version)
            if reference is None:
                return stream, [], f"no reference of {piece.version}; deploy the version with its reference.npz"
            # What is too small to be judged alone still adds to the classes, as after any gap.
            added, others = with_classes(stream, piece, reference.predicted, self._params.label_window)
            if len(piece) < self._params.smallest_window:
                return added, others, f"{len(piece)} predictions are fewer than monitoring.smallest_window"
            found = data_drift(reference, piece.images, piece.probabilities, self._params.tail_rank)
        except PipelineError as error:
            return dataclasses.replace(stream, trouble=str(error)), [], str(error)
        return added, [found.named(piece.ids), *others], ""

    def _read_labels(self, since: int | None, until: int) -> list[Alert]:
        told = list[Alert]()
        for every in self._history.labelled(Window(since, until, stage=self._stage)):
            rows = of_sources(every, self._params.label_sources)
            entries = zip(rows.truth_times.tolist(), rows.ids, rows.truths.tolist(), rows.labels.tolist(), strict=True)
            by_version: dict[str, list[Labelled]] = {}
            for version, entry in zip(rows.versions, entries, strict=True):
                by_version.setdefault(version, []).append(Labelled(*entry))
            for version, labels in by_version.items():
                if version in self.state.streams and not self._retired(version):
                    for stretch in without_gaps(labels, self._gap):
                        told += self._count(version, stretch)
            self._change(tests=telling(self.state.tests, until))
        return told

    def _count(self, version: str, labels: list[Labelled]) -> list[Alert]:
        stream, known_since = self._stream(version), labels[0].time - self._gap
        if stream.newest_label < known_since:
            stream = interrupted(stream, _OF_LABELS, known_since)
        stream, results = with_labels(stream, labels, self._params)
        self._put(version, stream)
        tests = [Tested(version, time, result.brief()) for time, result in results]
        self._change(tests=(*self.state.tests, *tests))
        return [alert for time, result in results for alert in self._follow(version, result, time)]

    def _follow(self, version: str, result: Result, time: int) -> list[Alert]:
        """Let a result change its detector's track, and the alerts with it."""
        stream, brief = self._stream(version), result.brief()
        track = stream.tracks.get(result.detector, Track()).after(result, time, self._params)
        tracks, newest = stream.tracks | {result.detector: track}, stream.newest_results | {result.detector: brief}
        self._put(version, dataclasses.replace(stream, tracks=tracks, newest_results=newest))
        alerts, told = self.state.alerts.after(track, brief, version, time, self._params)
        self._change(alerts=alerts)
        return [told] if told else []

    def _retire(self) -> list[Alert]:
        told = list[Alert]()
        for version in self.state.streams:
            if self._retired(version):
                alerts, resolved = self.state.alerts.retired(version, self._newest())
                self._change(alerts=alerts)
                self._put(version, anew(self._stream(version)))
                told += resolved
        return told

    def _retired(self, version: str) -> bool:
        return self.state.retired(version, self._gap)

    def _newest(self) -> int:
        return max((stream.newest for stream in self.state.streams.values()), default=0)

    def _note_times(self, rows: Rows) -> None:
        """Remember of when each version's newest prediction is, and what a gap before one does to its labels."""
        for version in dict.fromkeys(rows.versions):
            stream = self._stream(version)
            times = [time for time, name in zip(rows.times.tolist(), rows.versions, strict=True) if name == version]
            for time in times:
                if time - stream.newest > self._gap:
                    stream = interrupted(stream, _OF_LABELS, time - self._gap)
                stream = dataclasses.replace(stream, newest=max(stream.newest, time))
            self._put(version, stream)

    def _set_back(self, stream: Stream, until: int) -> Stream:
        """A stream that knows nothing of what is now the future."""
        stream = dataclasses.replace(
            stream,
            newest=min(stream.newest, until),
            newest_label=min(stream.newest_label, until),
            consumed="",
            tracks={detector: track for detector, track in stream.tracks.items() if track.time <= until},
        )
        return anew(interrupted(stream, tuple(Detector), until - self._gap))

    def _count_late(self) -> None:
        """Count what was dated into time already read; if it is less than before, the log's retention was there."""
        late = max(0, self._count_before(self.state.since) - self.state.before)
        labels, known = self._count_labels_before(self.state.until), self.state.labels_before
        late_labels = 0 if known is None else max(0, labels - known)
        self._change(late=self.state.late + late, late_labels=self.state.late_labels + late_labels)

    def _fresh(self, rows: Rows) -> Rows:
        """Those that were in no window that is over."""
        pairs = zip(rows.ids, rows.versions, strict=True)
        return rows.take([place for place, (key, version) in enumerate(pairs) if key > self._stream(version).consumed])

    def _count_before(self, since: int | None) -> int:
        return 0 if since is None else self._history.count(Window(since - _HOUR, since, stage=self._stage))

    def _count_labels_before(self, until: int | None) -> int:
        hour = None if until is None else Window(until - _HOUR, until, stage=self._stage)
        return 0 if hour is None else self._history.count_labelled(hour)

    def _stream(self, version: str) -> Stream:
        return self.state.streams.get(version) or begin(self._params.cusum)

    def _put(self, version: str, stream: Stream) -> None:
        self._change(streams=self.state.streams | {version: stream})

    def _change(self, **fields: object) -> None:
        self.state = dataclasses.replace(self.state, **fields)  # type: ignore[arg-type]
