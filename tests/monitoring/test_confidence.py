import numpy as np

from digits.drift_reference import build
from monitoring import confidence
from tests.monitoring.traffic import clean


def test_each_answer_is_counted_where_its_largest_probability_is():
    probabilities = np.full((4, 10), 0.01, np.float32)
    probabilities[[0, 1, 2, 3], [3, 4, 5, 6]] = 0.5, 0.55, 0.95, 0.9995
    assert confidence.of_answers(probabilities).tolist() == [1, 1, 0, 0, 0, 1, 0, 0, 1]
    assert confidence.of_answers(probabilities[:0]).tolist() == [0] * 9


def test_a_reference_that_no_longer_knows_its_images_still_tells_how_sure_they_were_read():
    """Although it has only each class's probabilities, sorted."""
    images, probabilities = clean(600, seed=0)
    flatter = probabilities ** np.linspace(0.2, 2, 600)[:, None]
    flatter = (flatter / flatter.sum(1, keepdims=True)).astype(np.float32)
    found = confidence.of_reference(build(images, flatter))
    assert found.tolist() == confidence.of_answers(flatter).tolist()
    assert found.sum() == 600
    assert found.all()
