"""One look at the prediction log: new windows are cut and judged, new labels counted, alerts raised and resolved.

What time does to it is settled here:
- A gap in traffic ends windows, and what comes after is not in a row with what was before.
- Each version is judged by its own reference. One that has answered nothing for as long as a gap, while another has, is
  retired: its alerts are resolved.
- Labels count when they come, however late, for the version that made the prediction, unless it is retired.
- A clock that was set back by less than a gap is waited for; by more, and reading begins anew at the new time, so that
  predictions dated after it are judged again when it comes. Predictions that are dated into time already read are not
  judged but counted, as `late`.
"""

import dataclasses
from collections.abc import Callable

from delivery.history import History, Rows, Window
from delivery.schema import SECOND
from digits.drift_reference import Reference
from monitoring.alerts import Alert, Level, Track
from monitoring.data_drift import data_drift
from monitoring.result import Detector, Result
from monitoring.settings import MonitoringParams
from monitoring.state import Judged, State, Stream, Tested
from monitoring.streams import Labelled, begin, with_classes, with_labels
from monitoring.windows import Cutter, Piece

_HOUR = 3600 * SECOND

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

    def look(self, now: int) -> list[Alert]:
        """Judge what came since the last look.

        Args:
            now: microseconds since 1970, UTC.

        Returns:
            alerts that were raised or resolved, in order. They are told once: write the state before they are sent, and
            a crash in between costs a message; after, and it costs a repetition.
        """
        until, labels_since = now - self._settle, self.state.until
        if labels_since is not None and until < labels_since:
            if labels_since - until < self._gap:
                return []
            streams = {name: dataclasses.replace(one, consumed="") for name, one in self.state.streams.items()}
            self._change(since=until, until=until, streams=streams, before=self._count_before(until))
            return []
        late = self._count_before(self.state.since) - self.state.before
        self._change(late=self.state.late + max(0, late))  # below 0: the log's retention was here
        told = self._read_predictions(until)
        told += self._retire()
        told += self._read_labels(labels_since, until)
        self._change(until=until)
        return told

    def levels(self, version: str, now: int) -> dict[Detector, Level]:
        """What is known of a version at this moment; without results for as long as a gap, nothing."""
        return self.state.levels(version, now, self._gap)

    def _read_predictions(self, until: int) -> list[Alert]:
        cutter, told = Cutter(self._params.window, self._gap), list[Alert]()
        for rows in self._history.predictions(Window(self.state.since, until, stage=self._stage)):
            for version, time in dict(zip(rows.versions, rows.times.tolist(), strict=True)).items():
                self._put(version, dataclasses.replace(self._stream(version), newest=time))
            for piece in cutter.add(self._fresh(rows)):
                told += self._judge(piece)
        for piece in cutter.until(until):
            told += self._judge(piece)
        since = until if cutter.first is None else cutter.first
        self._change(since=since, before=self._count_before(since))
        return told

    def _judge(self, piece: Piece) -> list[Alert]:
        time, note = piece.times[-1], ""
        stream = dataclasses.replace(self._stream(piece.version), consumed=piece.ids[-1])
        reference = self._references(piece.version)
        results: list[Result] = []
        if reference is None:
            note = f"no reference of {piece.version}; deploy the version with its reference.npz"
        elif len(piece) < self._params.smallest_window:
            note = f"{len(piece)} predictions are fewer than monitoring.smallest_window"
        else:
            found = data_drift(reference, piece.images, piece.probabilities, self._params.tail_rank)
            stream, others = with_classes(stream, piece, reference.predicted, self._params.label_window)
            results = [found.named(piece.ids), *others]
        last = stream.tracks.get(Detector.DATA_DRIFT, Track())
        if not results or piece.times[0] - last.time > self._gap:
            last = last.interrupted(judged=bool(results))
        tracks, judged = stream.tracks | {Detector.DATA_DRIFT: last}, stream.judged + bool(results)
        self._put(piece.version, dataclasses.replace(stream, tracks=tracks, windows=stream.windows + 1, judged=judged))
        told = [alert for result in results for alert in self._follow(piece.version, result, time)]
        tracks = self._stream(piece.version).tracks
        levels = {detector: tracks.get(detector, Track()).level for detector in Detector}
        brief = tuple(result.brief() for result in results)
        window = Judged(piece.version, piece.times[0], time, len(piece), piece.end, levels, brief, note)
        self._change(windows=(*self.state.windows, window)[-self._params.kept_windows :])
        return told

    def _read_labels(self, since: int | None, until: int) -> list[Alert]:
        told = list[Alert]()
        for rows in self._history.labelled(Window(since, until, stage=self._stage)):
            entries = zip(rows.truth_times.tolist(), rows.ids, rows.truths.tolist(), rows.labels.tolist(), strict=True)
            by_version: dict[str, list[Labelled]] = {}
            for version, entry in zip(rows.versions, entries, strict=True):
                by_version.setdefault(version, []).append(Labelled(*entry))
            for version, labels in by_version.items():
                if version in self.state.streams and not self._retired(version):
                    stream, results = with_labels(self.state.streams[version], labels, self._params)
                    self._put(version, stream)
                    tests = [Tested(version, time, result.brief()) for time, result in results]
                    self._change(tests=(*self.state.tests, *tests)[-self._params.kept_windows :])
                    told += [alert for time, result in results for alert in self._follow(version, result, time)]
        return told

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
                told += resolved
        return told

    def _retired(self, version: str) -> bool:
        return self.state.retired(version, self._gap)

    def _newest(self) -> int:
        return max((stream.newest for stream in self.state.streams.values()), default=0)

    def _fresh(self, rows: Rows) -> Rows:
        """Those that were in no window that is over."""
        pairs = zip(rows.ids, rows.versions, strict=True)
        return rows.take([place for place, (key, version) in enumerate(pairs) if key > self._stream(version).consumed])

    def _count_before(self, since: int | None) -> int:
        return 0 if since is None else self._history.count(Window(since - _HOUR, since, stage=self._stage))

    def _stream(self, version: str) -> Stream:
        return self.state.streams.get(version) or begin(self._params.cusum)

    def _put(self, version: str, stream: Stream) -> None:
        self._change(streams=self.state.streams | {version: stream})

    def _change(self, **fields: object) -> None:
        self.state = dataclasses.replace(self.state, **fields)  # type: ignore[arg-type]
