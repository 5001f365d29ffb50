import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits.dataset import DatasetError, Labelled, describe, labelled, split
from tests.synthetic import digits

LABELS = np.repeat(np.arange(10, dtype=np.uint8), [100, 120, 80, 110, 90, 70, 130, 100, 95, 105])


def test_split_has_the_same_share_of_each_class():
    _, drawn = split(LABELS, 100, seed=0)
    assert np.bincount(LABELS[drawn]).tolist() == [10, 12, 8, 11, 9, 7, 13, 10, 10, 10]


def test_split_parts_are_disjoint_and_complete():
    kept, drawn = split(LABELS, 137, seed=0)
    assert len(drawn) == 137
    assert sorted([*kept, *drawn]) == list(range(1000))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=200), st.data())
def test_split_keeps_size_and_shares_to_within_one_example(labels, data):
    size = data.draw(st.integers(1, len(labels) - 1))
    array = np.array(labels, np.uint8)
    kept, drawn = split(array, size, seed=3)
    assert len(drawn) == size
    assert len(set(kept) | set(drawn)) == len(labels)
    exact = np.bincount(array) * size / len(labels)
    assert (np.abs(np.bincount(array[drawn], minlength=len(exact)) - exact) < 1).all()


def test_split_is_the_same_for_the_same_seed_and_another_for_another():
    first, again, other = (split(LABELS, 100, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_split_takes_from_everywhere_and_not_the_first_of_a_class():
    _, drawn = split(LABELS, 100, seed=0)
    assert (drawn[:10] != np.arange(10)).any()


def test_nothing_is_left_over_for_training():
    with pytest.raises(DatasetError, match=r"^can't hold out 1000 of 1000 images: ask for fewer$"):
        split(LABELS, 1000, seed=0)


def test_description_is_that_of_numpy():
    data = digits(50)
    described = describe(data)
    assert described["images"] == 50
    assert described["classes"] == [5] * 10
    assert described["pixel_mean"] == pytest.approx(data.images.mean(), abs=1e-6)
    assert described["pixel_std"] == pytest.approx(data.images.std(), abs=1e-6)


def test_take_keeps_images_with_their_labels():
    taken = digits(50).take(np.array([13, 4]))
    assert taken.labels.tolist() == [3, 4]
    np.testing.assert_array_equal(taken.images[0], digits(50).images[13])


def test_labelled_images_are_accepted():
    assert isinstance(labelled(tuple(digits(10)), "train.npz"), Labelled)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 28, 28)), np.zeros((2, 28, 27), np.uint8), np.zeros((2, 784), np.uint8), np.zeros((0, 28, 28), "u1")],
)
def test_wrong_images_are_refused(images):
    with pytest.raises(DatasetError, match=r"train.npz: images are .* expected uint8"):
        labelled((images, np.zeros(len(images), np.uint8)), "train.npz")


@pytest.mark.parametrize(
    "labels", [np.array([0, 10], "u1"), np.array([0], "u1"), np.array([0, 1]), np.zeros((2, 1), "u1")]
)
def test_wrong_labels_are_refused(labels):
    with pytest.raises(DatasetError, match=r"train.npz: labels must be 2 unsigned bytes from 0 to 9"):
        labelled((np.zeros((2, 28, 28), np.uint8), labels), "train.npz")
