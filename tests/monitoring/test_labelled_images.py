import numpy as np
import pytest

from delivery.history import Rows
from monitoring.labelled_images import BLANK, DISPUTED, NO_CLASS, REPEATED, SIMULATION, collect
from monitoring.sending import SOURCE as SIMULATED

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
PIXELS[3] = 7  # blank


def rows(*labels: tuple[int, int, str, str]) -> Rows:
    """Labels, in the order in which they came: which image, its label, source, client. The model always says 1."""
    images, truths, sources, clients = zip(*labels, strict=True)
    count = len(labels)
    return Rows(
        ids=[str(place) for place in range(count)],
        times=np.zeros(count, np.int64),
        versions=[f"v{place}" for place in range(count)],
        stages=["production"] * count,
        pixels=PIXELS[list(images)],
        probabilities=np.tile(np.eye(10, dtype=np.float32)[1] * 0.75, (count, 1)),
        labels=np.ones(count, np.int64),
        truths=np.array(truths),
        truth_times=np.arange(count) + 100,
        sources=list(sources),
        clients=list(clients),
    )


def settled(*labels: tuple[int, int, str, str], **options) -> tuple[dict[int, int], dict[str, int]]:
    """Label of each image, and how many were not taken for which reason; each label is accounted for."""
    images, refused = collect([rows(*labels)], 0.66, **options)
    assert len(images) + sum(refused.values()) == len(labels)
    numbers = [int(np.flatnonzero((pixels == PIXELS).all((1, 2)))[0]) for pixels in images.pixels]
    return dict(zip(numbers, images.labels.tolist(), strict=True)), dict(refused)


def test_an_image_keeps_what_was_said_of_it():
    images, _ = collect([rows((0, 5, "ann", "home"), (2, 3, "bob", "work"))], 0.66)
    np.testing.assert_array_equal(images.pixels, PIXELS[[0, 2]])
    assert images.labels.tolist() == [5, 3]
    assert images.predicted.tolist() == [1, 1]
    assert images.confidence.tolist() == [0.75, 0.75]
    assert images.times.tolist() == [100, 101]
    assert [list(images.versions), list(images.sources), list(images.clients)] == [
        ["v0", "v1"],
        ["ann", "bob"],
        ["home", "work"],
    ]


def test_an_image_that_was_labelled_twice_is_one_image():
    assert settled((0, 5, "ann", "home"), (1, 2, "ann", "home"), (0, 5, "bob", "work")) == ({0: 5, 1: 2}, {REPEATED: 1})


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([(5, "ann", "a"), (6, "bob", "b")], None),
        ([(5, "ann", "a"), (5, "bob", "b"), (6, "cy", "c")], 5),
        ([(5, "ann", "a"), (5, "bob", "b"), (6, "cy", "c"), (6, "dan", "d")], None),
        ([(5, "ann", "a"), (6, "ann", "a")], 6),  # a last word
        ([(5, "ann", "proxy"), (6, "bob", "proxy")], None),
        ([(5, "ann", "a"), *((6, f"mallory{number}", "lair") for number in range(50))], None),
        ([(5, "ann", "a"), (5, "bob", "b"), *((6, f"mallory{number}", "lair") for number in range(50))], 5),
    ],
)
def test_labels_that_contradict_each_other_are_settled_by_most_addresses_or_not_at_all(labels, found):
    images, refused = settled(*((0, *label) for label in labels))
    assert images == ({} if found is None else {0: found})
    assert (DISPUTED in refused) == (found is None)


def test_what_is_no_labelled_image_is_refused():
    labels = (3, 5, "ann", "home"), (0, 10, "ann", "home"), (1, -1, "ann", "home"), (2, 0, "ann", "home")
    assert settled(*labels) == ({2: 0}, {BLANK: 1, NO_CLASS: 2})


def test_simulated_traffic_is_left_out_unless_asked_for():
    labels = (0, 5, SIMULATED, "home"), (1, 2, "ann", "home")
    assert settled(*labels) == ({1: 2}, {SIMULATION: 1})
    assert settled(*labels, simulated=True) == ({0: 5, 1: 2}, {})


def test_no_labels_are_no_images():
    images, refused = collect([], 0.66)
    assert len(images) == 0
    assert images.pixels.shape == (0, 28, 28)
    assert refused == {}
