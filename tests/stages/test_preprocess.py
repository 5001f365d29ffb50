import json
from pathlib import Path

import numpy as np
import pytest

from digits.dataset import Labelled
from digits.idx import IdxError
from digits.production import ProductionError
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


PRODUCTION = synthetic.digits(20, seed=3)


def train() -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_arrays(preprocess.TRAIN, "images", "labels")
    return images, labels


def test_production_images_follow_the_training_images_so_many_times_and_change_nothing_else(pipeline):
    (before, labels), (_, *others) = train(), outputs()
    statistics = json.loads(preprocess.STATISTICS.read_text())
    synthetic.write_production(preprocess.PRODUCTION, PRODUCTION)
    preprocess.main()

    images, now = train()
    np.testing.assert_array_equal(images, np.concatenate([before, *[PRODUCTION.images] * 3]))
    np.testing.assert_array_equal(now, np.concatenate([labels, *[PRODUCTION.labels] * 3]))
    assert outputs()[1:3] == others[:2]
    described = json.loads(preprocess.STATISTICS.read_text())
    assert described.pop("production") == preprocess.describe(PRODUCTION) | {"repeat": 3}
    assert described == statistics


@pytest.mark.parametrize("without", ["no images", "repeated no times", "another data set"])
def test_without_production_images_everything_is_as_it_was(pipeline, capsys, without):
    before = outputs()
    if without == "repeated no times":
        synthetic.write_params(pipeline, preprocess={"production_repeat": 0})
    some = None if without == "no images" else PRODUCTION
    name = "KMNIST" if without == "another data set" else "MNIST"
    synthetic.write_production(preprocess.PRODUCTION, some, name)
    preprocess.main()

    assert outputs() == before
    said = "data/production: 20 images of KMNIST are left out, for this is MNIST\n"
    assert capsys.readouterr().out == (said if without == "another data set" else "")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_what_is_validated_or_tested_on_is_not_trained_on(pipeline, capsys, part):
    (held_out,) = read_arrays(getattr(preprocess, part.upper()), "images")
    copies = held_out[:2].copy()
    copies[1, 0, 0] ^= 1  # a near one, which no checksum finds
    images = np.concatenate([PRODUCTION.images, copies])
    synthetic.write_production(preprocess.PRODUCTION, Labelled(images, np.zeros(22, np.uint8)))
    preprocess.main()

    assert len(train()[0]) == 1000 + 3 * 20
    said = "data/production: 2 of 22 images are validation or test images, or nearly, and left out\n"
    assert capsys.readouterr().out == said
    assert json.loads(preprocess.STATISTICS.read_text())["production"]["images"] == 20


def test_wrong_production_data_are_named_and_outputs_stay(pipeline):
    before = outputs()
    synthetic.write_production(preprocess.PRODUCTION, PRODUCTION)
    (preprocess.PRODUCTION / "train.npz").write_bytes(b"no archive")
    with pytest.raises(ProductionError, match=r"^data/production/train\.npz: not an archive"):
        preprocess.main()
    assert outputs() == before
