import numpy as np

from digits.likeness import near, neighbours
from tests.synthetic import digits

IMAGES = digits(40, seed=1).images


def test_the_nearest_are_those_by_all_distances():
    vectors = IMAGES.reshape(40, -1).astype(np.float32)
    distances = np.square(vectors[:7, None] - vectors[None, 7:]).sum(2)
    found = neighbours(vectors[:7], vectors[7:], 3)
    np.testing.assert_array_equal(np.sort(found, 1), np.sort(np.argsort(distances, 1)[:, :3], 1))


def test_copies_are_near_and_other_images_of_the_class_are_not():
    changed = IMAGES[:20].copy()
    changed[:, 3, 3] ^= 1
    blank = np.zeros((1, 28, 28), np.uint8)
    asked = np.concatenate([IMAGES[20:30], IMAGES[:10], changed[10:], blank])
    assert near(asked, np.concatenate([IMAGES[:20], blank])).tolist() == [False] * 10 + [True] * 21


def test_how_near_is_near():
    """By the longer of the two, so that neither is near because it is large."""
    image = np.zeros((1, 10, 10), np.uint8)
    image[:, :, :5] = 200
    other, far = image.copy(), image.copy()
    other[0, 0, 9] = 141  # 0.1 of the length of the first, which is 1414
    far[0, 0, 9] = 145
    assert [near(image, each).item() for each in (other, far)] == [True, False]


def test_of_none_none_is_near_whatever_the_size():
    none = np.zeros((0, 20, 20), np.uint8)
    assert near(none, IMAGES).shape == (0,)
    assert near(IMAGES, none).sum() == 0
