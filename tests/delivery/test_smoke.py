import numpy as np
import pytest

from delivery import smoke
from delivery.smoke import Smoke, smoke_test
from digits.dataset import DatasetError
from digits.onnx_model import OnnxModel
from digits.storage import FileError, read_arrays, write_arrays


@pytest.fixture
def path(pipeline):
    return pipeline / "models/smoke.npz"


@pytest.fixture
def model(pipeline):
    return OnnxModel(pipeline / "models/model.onnx")


def rewrite(path, **changes):
    names = ("images", "labels", "probabilities")
    write_arrays(path, **(dict(zip(names, read_arrays(path, *names), strict=True)) | changes))


def test_the_evaluated_model_passes(path, model):
    labels, probabilities = read_arrays(path, "labels", "probabilities")
    right = int((probabilities.argmax(1) == labels).sum())

    assert right > 15
    assert smoke_test(model, path, right / 20) == Smoke(True, 20, right)


def test_too_few_right_labels_fail(path, model):
    (probabilities,) = read_arrays(path, "probabilities")
    labels = probabilities.argmax(1).astype(np.uint8)
    labels[:3] = (labels[:3] + 1) % 10
    rewrite(path, labels=labels)

    assert smoke_test(model, path, 0.85).passed
    failed = smoke_test(model, path, 0.9)
    assert (failed.passed, failed.images, failed.right) == (False, 20, 17)
    assert failed.reason == "17 of 20 labels of the smoke set are right, asked for is a share of 0.9"


def test_other_probabilities_than_those_evaluated_fail(path, model):
    (probabilities,) = read_arrays(path, "probabilities")
    rewrite(path, probabilities=probabilities + np.float32(smoke.TOLERANCE / 2))
    assert smoke_test(model, path, 0.5).passed

    probabilities[4, 2] += 0.01
    rewrite(path, probabilities=probabilities)
    failed = smoke_test(model, path, 0.5)
    assert not failed.passed
    assert "a probability differs by 0.01, at most 0.0001 is allowed" in failed.reason


def test_a_model_that_answers_with_no_numbers_fails(path, model, monkeypatch):
    monkeypatch.setattr(model, "probabilities", lambda images: np.full((len(images), 10), np.nan, np.float32))
    assert not smoke_test(model, path, 0.0).passed


def test_a_model_of_other_classes_fails(path, model):
    (probabilities,) = read_arrays(path, "probabilities")
    rewrite(path, probabilities=probabilities[:, :7])
    assert "(20, 10), expected (20, 7)" in smoke_test(model, path, 0.0).reason


def test_a_model_that_can_not_score_fails(path, model, monkeypatch):
    def broken(images):
        raise RuntimeError("Got invalid dimensions for input\nmore of it")

    monkeypatch.setattr(model, "probabilities", broken)
    failed = smoke_test(model, path, 0.0)
    assert failed.reason == "the model can't score the smoke set: Got invalid dimensions for input"


def test_a_smoke_set_that_is_none_is_an_error(path, model):
    path.write_bytes(b"none")
    with pytest.raises(FileError, match=r"smoke\.npz: not an archive with the arrays images, labels, probabilities"):
        smoke_test(model, path, 0.9)
    write_arrays(path, images=np.zeros((2, 5, 5)), labels=np.zeros(2), probabilities=np.zeros((2, 10)))
    with pytest.raises(DatasetError, match="expected uint8"):
        smoke_test(model, path, 0.9)
