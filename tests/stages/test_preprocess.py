import json
from pathlib import Path

import numpy as np
import pytest

from digits.idx import IdxError
from digits.storage import read_arrays
from stages import preprocess
from tests import synthetic

OUTPUTS = (preprocess.TRAIN, preprocess.VALIDATION, preprocess.TEST, preprocess.STATISTICS)


def outputs() -> list[bytes]:
    return [path.read_bytes() for path in OUTPUTS]


def test_parts_hold_each_image_once(pipeline):
    (train, _), (validation, _) = (
        read_arrays(path, "images", "labels") for path in (preprocess.TRAIN, preprocess.VALIDATION)
    )
    together = sorted(image.tobytes() for image in (*train, *validation))
    assert (len(train), len(validation)) == (1000, 100)
    assert together == sorted(image.tobytes() for image in synthetic.digits(1100, seed=1).images)


def test_validation_is_stratified(pipeline):
    (labels,) = read_arrays(preprocess.VALIDATION, "labels")
    assert np.bincount(labels).tolist() == [10] * 10


def test_test_images_stay_in_their_order(pipeline):
    images, labels = read_arrays(preprocess.TEST, "images", "labels")
    np.testing.assert_array_equal(images, synthetic.digits(300, seed=2).images)
    np.testing.assert_array_equal(labels, synthetic.digits(300, seed=2).labels)


def test_statistics_describe_parts_and_archives(pipeline):
    statistics = json.loads(preprocess.STATISTICS.read_text())
    assert list(statistics) == ["dataset", "archives_md5", "train", "validation", "test"]
    assert statistics["dataset"] == "MNIST"
    assert [statistics[part]["images"] for part in ("train", "validation", "test")] == [1000, 100, 300]
    assert statistics["test"]["pixel_mean"] == pytest.approx(synthetic.digits(300, seed=2).images.mean(), abs=1e-6)
    archives = {path.name: preprocess.checksum(path) for path in Path("data/raw/MNIST").iterdir()}
    assert statistics["archives_md5"] == archives
    assert len(archives) == 4


def test_checksum_is_md5(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert preprocess.checksum(tmp_path / "a") == "900150983cd24fb0d6963f7d28e17f72"


def test_same_archives_give_the_same_bytes(pipeline):
    before = outputs()
    preprocess.main()
    assert outputs() == before


def test_another_seed_holds_out_other_images(pipeline):
    train, validation, test, _ = outputs()
    synthetic.write_params(pipeline, preprocess={"seed": 1})
    preprocess.main()
    now = outputs()
    assert now[0] != train
    assert now[1] != validation
    assert now[2] == test


def test_broken_archive_is_named_and_outputs_stay(pipeline):
    before = outputs()
    archive = Path("data/raw/MNIST/t10k-images-idx3-ubyte.gz")
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(IdxError, match=r"^data/raw/MNIST/t10k-images-idx3-ubyte\.gz: not a whole gzip file"):
        preprocess.main()
    assert outputs() == before


def test_labels_of_another_part_are_refused(pipeline):
    folder = Path("data/raw/MNIST")
    (folder / "t10k-labels-idx1-ubyte.gz").replace(folder / "train-labels-idx1-ubyte.gz")
    with pytest.raises(
        IdxError, match=r"train-images-idx3-ubyte\.gz holds 1100 images, but .*train-labels.* 300 labels"
    ):
        preprocess.main()
