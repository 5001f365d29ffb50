"""The model that ships: layers, epochs, size, shapes and accuracy on the real test images."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from digits import weights
from digits.model import parameter_count
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[1]
WEIGHTS, ONNX, TEST = (
    ROOT / name for name in ("models/model.safetensors", "models/model.onnx", "data/prepared/test.npz")
)


@pytest.fixture(scope="module", autouse=True)
def _restored():
    """What is missing comes from the DVC remote; if it can't, every test here fails."""
    missing = [path.relative_to(ROOT).as_posix() for path in (WEIGHTS, ONNX, TEST) if not path.exists()]
    if missing:
        subprocess.run([sys.executable, "-m", "dvc", "pull", *missing], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def test_set():
    return read_arrays(TEST, "images", "labels")


def test_model_has_fewer_than_25000_parameters():
    model, facts = weights.load(WEIGHTS)
    assert parameter_count(model) < 25_000
    assert parameter_count(model) == facts["parameters"] == int(OnnxModel(ONNX).facts["parameters"])


def test_model_is_two_convolutions_with_max_pooling_and_one_linear_layer_after_one_epoch():
    model, facts = weights.load(WEIGHTS)
    layers = Counter(type(part).__name__ for part in model.modules() if not [*part.children()])
    assert (layers["Conv2d"], layers["Linear"]) == (2, 1)
    assert layers["MaxPool2d"] in (1, 2)
    assert set(layers) <= {"Conv2d", "MaxPool2d", "BatchNorm2d", "GELU", "ReLU", "SiLU", "Linear"}
    assert facts["epochs"] == int(OnnxModel(ONNX).facts["epochs"]) == 1


@pytest.mark.parametrize("count", [1, 7])
def test_images_of_28_by_28_give_ten_scores(count):
    model, _ = weights.load(WEIGHTS)
    assert model(torch.zeros(count, 28, 28, dtype=torch.uint8)).shape == (count, 10)
    assert OnnxModel(ONNX).probabilities(np.zeros((count, 28, 28), np.uint8)).shape == (count, 10)


def test_accuracy_is_above_95_percent_on_the_real_test_set(test_set):
    images, labels = test_set
    assert images.shape == (10_000, 28, 28)
    assert (OnnxModel(ONNX).probabilities(images).argmax(1) == labels).mean() > 0.95


def test_weights_and_onnx_file_belong_together(test_set):
    images = test_set[0][:500]
    model, _ = weights.load(WEIGHTS)
    with torch.no_grad():
        expected = torch.softmax(model(torch.from_numpy(images)), 1).numpy()
    np.testing.assert_allclose(OnnxModel(ONNX).probabilities(images), expected, rtol=0, atol=1e-5)
