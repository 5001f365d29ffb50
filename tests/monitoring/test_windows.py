import numpy as np

from delivery.history import Rows
from monitoring.windows import Cutter

GAP = 1000


def rows(*entries: tuple[int, str]) -> Rows:
    """Predictions at times, by versions; the image tells which it is."""
    count = len(entries)
    times = np.array([time for time, _ in entries], np.int64)
    unknown = np.full(count, -1)
    return Rows(
        ids=[f"{time:05}" for time in times],
        times=times,
        versions=[version for _, version in entries],
        stages=["s"] * count,
        pixels=np.broadcast_to(times.astype(np.uint8)[:, None, None], (count, 28, 28)),
        probabilities=np.zeros((count, 10), np.float32),
        labels=np.zeros(count, np.int64),
        truths=unknown,
        truth_times=unknown,
        sources=[""] * count,
        clients=[""] * count,
    )


def cut(cutter: Cutter, *entries: tuple[int, str]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(piece.version, piece.end.value, piece.times) for piece in cutter.add(rows(*entries))]


def test_windows_are_whole_over_several_parts():
    cutter = Cutter(3, GAP)
    assert cut(cutter, (1, "a"), (2, "a")) == []
    assert cutter.first == 1
    (piece,) = cutter.add(rows((3, "a"), (4, "a")))
    assert (piece.ids, piece.times, piece.images[:, 0, 0].tolist()) == (
        ("00001", "00002", "00003"),
        (1, 2, 3),
        [1, 2, 3],
    )
    assert (piece.images.shape, piece.probabilities.dtype, cutter.first) == ((3, 28, 28), np.float32, 4)


def test_a_gap_ends_what_was_begun_by_any_version():
    cutter = Cutter(3, GAP)
    assert cut(cutter, (1, "a"), (2, "b"), (1002, "b")) == [("a", "gap in traffic", (1,))]
    assert [(piece.version, piece.times) for piece in cutter.until(2002)] == []
    assert [(piece.version, piece.times) for piece in cutter.until(2003)] == [("b", (2, 1002))]
    assert cutter.first is None


def test_the_rest_of_a_version_ends_once_another_has_filled_a_window_since():
    cutter = Cutter(2, GAP)
    assert cut(cutter, (1, "a"), (2, "b"), (3, "b")) == [
        ("b", "full", (2, 3)),
        ("a", "another version took over", (1,)),
    ]


def test_versions_that_alternate_each_fill_their_own():
    cutter = Cutter(3, GAP)
    entries = [(time, "ab"[time % 2]) for time in range(12)]
    assert [(version, end) for version, end, _ in cut(cutter, *entries)] == [
        ("a", "full"),
        ("b", "full"),
        ("a", "full"),
        ("b", "full"),
    ]
