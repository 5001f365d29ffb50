import numpy as np
import pytest

from digits.image_statistics import NAMES, image_statistics
from tests import synthetic


def of(image: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, image_statistics(image[None])[0].tolist(), strict=True))


def test_figures_are_those_of_their_definitions():
    image = synthetic.digits(1).images[0]
    pixels = image.astype(float)
    y, x = np.mgrid[:28, :28]
    share = pixels / pixels.sum()
    middle_x, middle_y = (share * x).sum(), (share * y).sum()
    steps = [*np.diff(pixels, axis=0).ravel(), *np.diff(pixels, axis=1).ravel()]
    expected = {
        "mean": pixels.mean(),
        "std": pixels.std(),
        "centroid x": middle_x,
        "centroid y": middle_y,
        "variance x": (share * (x - middle_x) ** 2).sum(),
        "variance y": (share * (y - middle_y) ** 2).sum(),
        "covariance xy": (share * (x - middle_x) * (y - middle_y)).sum(),
        "gradient energy": np.square(steps).mean(),
    }
    assert of(image) == pytest.approx(expected)


def test_a_dot_is_where_it_is_and_has_no_extent():
    image = np.zeros((28, 28), np.uint8)
    image[5, 20] = 200
    found = of(image)
    assert (found["centroid x"], found["centroid y"]) == (20, 5)
    assert (found["variance x"], found["variance y"], found["covariance xy"]) == (0, 0, 0)


@pytest.mark.parametrize("level", [0, 255])
def test_an_image_without_contrast_has_finite_figures(level):
    found = of(np.full((28, 28), level, np.uint8))
    assert (found["mean"], found["std"], found["gradient energy"]) == (level, 0, 0)
    assert (found["centroid x"], found["centroid y"]) == (13.5, 13.5)
    assert np.isfinite(list(found.values())).all()


def test_an_image_has_the_same_bits_alone_and_among_others():
    images = synthetic.digits(300).images
    together = image_statistics(images)
    alone = np.concatenate([image_statistics(images[place : place + 1]) for place in range(300)])
    assert together.tobytes() == alone.tobytes()


def test_no_images_have_no_figures():
    assert image_statistics(np.zeros((0, 28, 28), np.uint8)).shape == (0, 8)
