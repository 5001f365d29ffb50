import json
import pickle

import numpy as np
import pytest

from digits.dataset import DatasetError, Labelled
from digits.production import HOLDOUT, PROVENANCE, TRAIN, Production, ProductionError, joined, read, without, write
from digits.storage import write_arrays
from tests.synthetic import digits

EXPORT = Production("MNIST", digits(30, seed=1), digits(10, seed=2))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, EXPORT, {"versions": ["v0.1.0"]})
    return tmp_path


def test_an_export_is_read_as_it_was_written(folder):
    dataset, train, holdout = read(folder)
    assert dataset == "MNIST"
    for found, written in ((train, EXPORT.train), (holdout, EXPORT.holdout)):
        np.testing.assert_array_equal(found.images, written.images)
        np.testing.assert_array_equal(found.labels, written.labels)
    assert json.loads((folder / PROVENANCE).read_text()) == {"dataset": "MNIST", "versions": ["v0.1.0"]}


def test_the_same_export_has_the_same_bytes(folder, tmp_path):
    write(tmp_path / "again", EXPORT, {"versions": ["v0.1.0"]})
    for name in (TRAIN, HOLDOUT, PROVENANCE):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("size", [28, 20])
def test_an_empty_export_goes_with_images_of_any_size(tmp_path, size):
    none = Labelled(np.zeros((0, size, size), np.uint8), np.zeros(0, np.uint8))
    write(tmp_path, Production("Shapes", none, none), {})
    export = read(tmp_path)
    assert [len(export.train.labels), len(export.holdout.labels)] == [0, 0]
    data = digits(10)
    assert joined(data, export.train, repeat=5) is data


@pytest.mark.parametrize("name", [TRAIN, HOLDOUT])
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 28, 27), "u1"), np.zeros(2, "u1"), "images are uint8 \\(2, 28, 27\\); expected"),
        (np.zeros((2, 28, 28)), np.zeros(2, "u1"), "images are float64"),
        (np.zeros((2, 28, 28), "u1"), np.array([1, 10], "u1"), "labels must be 2 unsigned bytes from 0 to 9"),
        (np.zeros((0, 28, 28)), np.zeros(0, "u1"), "images are float64"),
        (np.zeros((0, 28, 28), "u1"), np.zeros(1, "u1"), "images are uint8 \\(0, 28, 28\\)"),
    ],
)
def test_wrong_arrays_are_refused(folder, name, images, labels, message):
    write_arrays(folder / name, images=images, labels=labels)
    with pytest.raises(DatasetError, match=f"{name}: {message}"):
        read(folder)


def test_other_files_are_refused_with_what_restores_them_and_run_nothing(folder):
    for content in (b"", b"no archive", pickle.dumps([1])):
        (folder / HOLDOUT).write_bytes(content)
        with pytest.raises(ProductionError, match=r"holdout\.npz: not an archive .*; restore it with `git "):
            read(folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"dataset": 1}'])
def test_a_provenance_without_the_data_set_is_refused(folder, content):
    (folder / PROVENANCE).write_text(content)
    with pytest.raises(ProductionError, match=r"provenance\.json: not JSON that names its `dataset`; restore"):
        read(folder)


def test_an_image_that_is_trained_on_and_compared_on_is_refused(tmp_path):
    export = EXPORT._replace(holdout=EXPORT.train.take(np.array([3, 4])))
    write(tmp_path, export, {})
    with pytest.raises(ProductionError, match=r"2 images are in train\.npz and in holdout\.npz"):
        read(tmp_path)


def test_images_that_others_have_are_left_out_whatever_their_label():
    data = digits(30, seed=1)
    other = Labelled(data.images[[2, 5]], np.array([9, 9], np.uint8))
    kept = without(data, other, digits(5, seed=9))
    np.testing.assert_array_equal(kept.images, np.delete(data.images, [2, 5], 0))
    np.testing.assert_array_equal(kept.labels, np.delete(data.labels, [2, 5]))


def test_joined_ones_come_after_the_others_so_many_times():
    data, more = digits(10), digits(3, seed=4)
    both = joined(data, more, repeat=2)
    np.testing.assert_array_equal(both.images, np.concatenate([data.images, more.images, more.images]))
    assert both.labels.tolist() == [*range(10), 0, 1, 2, 0, 1, 2]
    assert joined(data, more, repeat=0) is data
