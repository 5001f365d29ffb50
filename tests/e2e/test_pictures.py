"""Real digits and the model that ships: as MNIST has them, and as people send them."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from delivery.images import ink, normalised, picture
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays
from tests.e2e.project import ROOT

pytestmark = pytest.mark.e2e

MODEL, TEST = ROOT / "models/model.onnx", ROOT / "data/prepared/test.npz"
COUNT = 150
PIXELS = 10_000_000


@pytest.fixture(scope="module", autouse=True)
def _restored():
    """What is missing comes from the DVC remote; if it can't, every test here fails."""
    missing = [path.relative_to(ROOT).as_posix() for path in (MODEL, TEST) if not path.exists()]
    if missing:
        subprocess.run([sys.executable, "-m", "dvc", "pull", *missing], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def test_set():
    return read_arrays(TEST, "images", "labels")


def accuracy(images: list[np.ndarray], labels: np.ndarray) -> float:
    return float((OnnxModel(MODEL).probabilities(np.stack(images)).argmax(1) == labels[: len(images)]).mean())


def sent(image: Image.Image, kind: str, **options: object) -> np.ndarray:
    """What the service makes of it."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return picture(content.getvalue(), PIXELS)


def drawn(image: np.ndarray, height: int, width: int, left: int, top: int) -> np.ndarray:
    """The digit in smooth strokes on a larger field."""
    large = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    field = Image.new("L", (width + 200, height + 160))
    field.paste(large, (left, top))
    return np.asarray(field)


def stays(levels: np.ndarray, image: np.ndarray) -> bool:
    return bool((normalised(ink(levels.astype(np.float32))) == image).all())


def test_what_has_mnists_form_stays_as_it_is(test_set):
    """9,996 of 10,000, as images.py says; and so do those that are dark on light."""
    images = test_set[0]
    assert sum(stays(image, image) for image in images) == 9996
    assert sum(stays(255 - image, image) for image in images[:500]) == 500


def test_digits_in_a_file_are_those_in_json(test_set):
    images, labels = test_set[0][:COUNT], test_set[1]
    files = [sent(Image.fromarray(255 - image), "PNG") for image in images]
    assert np.mean([(file == image).all() for file, image in zip(files, images, strict=True)]) > 0.99
    assert accuracy(files, labels) == accuracy(list(images), labels)


@pytest.mark.parametrize(
    ("kind", "ink_colour", "page_colour"),
    [
        ("PNG", (0, 0, 0), (255, 255, 255)),
        ("JPEG", (20, 40, 120), (240, 236, 220)),  # a blue pen on paper
        ("JPEG", (250, 250, 240), (30, 60, 45)),  # chalk
        ("PNG", (200, 30, 30), None),  # red on nothing
    ],
    ids=["black", "pen", "chalk", "transparent"],
)
def test_digits_redrawn_large_are_read(test_set, kind, ink_colour, page_colour):
    """Five to ten times as large, off the middle, in another shape of field."""
    images, labels = test_set[0][:COUNT], test_set[1]
    random = np.random.default_rng(0)
    found = []
    for image in images:
        side = int(random.integers(140, 280))
        strokes = drawn(image, side, side, *random.integers(0, 160, 2)) / 255
        if page_colour is None:
            shown = np.empty((*strokes.shape, 4), np.uint8)
            shown[..., :3], shown[..., 3] = ink_colour, np.rint(255 * strokes)
        else:
            share = strokes[..., None]
            shown = np.rint(share * ink_colour + (1 - share) * page_colour).astype(np.uint8)
        found.append(sent(Image.fromarray(shown), kind))
    assert accuracy(found, labels) > 0.97


def test_photographs_are_read(test_set):
    """Light that falls from one side, grain, a JPEG of low quality."""
    images, labels = test_set[0][:COUNT], test_set[1]
    random = np.random.default_rng(1)
    found = []
    for image in images:
        strokes = drawn(image, 196, 196, 90, 70) / 255
        light = np.linspace(230, 150, strokes.shape[1])[None] * (1 - 0.75 * strokes)
        grain = random.normal(0, 4, strokes.shape)
        found.append(sent(Image.fromarray((light + grain).clip(0, 255).astype(np.uint8)), "JPEG", quality=50))
    assert accuracy(found, labels) > 0.95
