import numpy as np
import pytest

from digits.pictures import worst_mistakes


def probabilities(labels: np.ndarray, confidence: dict[int, float]) -> np.ndarray:
    """Right and certain; but images in `confidence` get the class before theirs, with that confidence."""
    table = np.eye(10)[labels]
    for index, value in confidence.items():
        table[index] = 0
        table[index, labels[index]] = 1 - value
        table[index, labels[index] - 1] = value
    return table


@pytest.fixture
def images():
    """Each image is of one grey, so that it can be told apart in the picture."""
    return np.arange(40, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2) * 5


LABELS = np.arange(40) % 9 + 1


def middles(picture, count: int, columns: int = 8) -> list[int]:
    """Grey value in the middle of each tile."""
    places = [(16 + i % columns * 128 + 56, 48 + i // columns * 170 + 56) for i in range(count)]
    return [picture.getpixel(place)[0] for place in places]


def test_worst_mistake_comes_first(images):
    picture = worst_mistakes(images, LABELS, probabilities(LABELS, {3: 0.6, 17: 0.99, 30: 0.8}))
    assert middles(picture, 4) == [255 - 5 * 17, 255 - 5 * 30, 255 - 5 * 3, 255]


def test_grid_is_filled_with_the_worst_alone(images):
    confidence = {index: 0.51 + index / 100 for index in range(40)}
    picture = worst_mistakes(images, LABELS, probabilities(LABELS, confidence), rows=2, columns=4)
    assert middles(picture, 8, 4) == [255 - 5 * index for index in range(39, 31, -1)]
    assert picture.size == (4 * 128 + 16, 48 + 2 * 170)


def test_model_without_mistakes_has_a_picture_too(images):
    picture = worst_mistakes(images, LABELS, probabilities(LABELS, {}))
    assert picture.mode == "RGB"
    assert picture.size == (8 * 128 + 16, 48 + 170)


def test_same_mistakes_give_the_same_picture(images):
    table = probabilities(LABELS, {3: 0.6, 17: 0.99})
    assert worst_mistakes(images, LABELS, table).tobytes() == worst_mistakes(images, LABELS, table).tobytes()
