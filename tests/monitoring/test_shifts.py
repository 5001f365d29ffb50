import numpy as np
import pytest

from monitoring.shifts import SHIFTS, moved, rotated
from tests import synthetic

IMAGES = synthetic.digits(20).images


@pytest.mark.parametrize("name", SHIFTS)
def test_each_changes_every_image_and_nothing_else(name):
    before = IMAGES.copy()
    changed = SHIFTS[name](IMAGES, np.random.default_rng(0))
    assert (changed.dtype, changed.shape) == (np.uint8, IMAGES.shape)
    assert (changed != IMAGES).any((1, 2)).all()
    np.testing.assert_array_equal(IMAGES, before)


def test_a_quarter_turn_is_anticlockwise():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 13, 25] = 255  # to the right of the middle
    np.testing.assert_array_equal(rotated(image, 90), np.rot90(image, axes=(1, 2)))


def test_moved_images_are_moved_to_the_right():
    np.testing.assert_array_equal(moved(IMAGES, 2)[:, :, 2:], IMAGES[:, :, :-2])
    assert not moved(IMAGES, 2)[:, :, :2].any()
