import numpy as np
import pytest

from digits.image_statistics import NAMES
from monitoring.data_drift import SOFTMAX, STATISTICS, TAIL, RankError, data_drift
from monitoring.result import Detector
from monitoring.shifts import moved
from tests.monitoring.traffic import RANK, REFERENCE, answers, clean


def judged(images, probabilities):
    return data_drift(REFERENCE, images, probabilities, RANK)


def parts(result):
    return {part.test: part for part in result.parts}


def test_clean_traffic_is_seldom_suspicious():
    p_values = np.array([judged(*clean(100, seed)).p_value for seed in range(100)])
    assert (p_values <= 0.05).sum() <= 10
    assert (p_values <= 0.5).sum() >= 20


def test_moved_images_are_seen_and_the_centroid_is_named():
    images, probabilities = clean(100, seed=0)
    joint = judged(moved(images, 2), probabilities)
    assert (joint.detector, joint.n) == (Detector.DATA_DRIFT, 100)
    assert joint.p_value < 1e-6
    result = parts(joint)[STATISTICS]
    assert (result.features[0].name, result.features[0].statistic > 0) == ("centroid x", True)
    assert result.statistic == result.effect == result.features[0].statistic
    assert len(result.features) == len(NAMES)


def test_other_answers_to_the_same_images_are_seen_in_the_softmax_outputs():
    images, probabilities = clean(100, seed=0)
    result = judged(images, answers(np.full(100, 3), seed=0))
    assert result.test == SOFTMAX
    assert result.features[0].name == "probability of 3"
    assert parts(result)[STATISTICS].p_value == parts(judged(images, probabilities))[STATISTICS].p_value


def test_a_few_foreign_images_are_counted_in_the_tail_and_named():
    images, probabilities = clean(100, seed=0)
    foreign = [3, 30, 31, 60, 98]
    images[foreign] = 255 - images[foreign]
    result = judged(images, probabilities)
    assert result.test == TAIL
    assert result.p_value < 0.05 < 3 * parts(result)[STATISTICS].p_value
    assert set(result.positions[:5]) == set(foreign)
    assert result.named([f"id {place}" for place in range(100)]).images[:5] == tuple(
        f"id {place}" for place in result.positions[:5]
    )


def test_images_that_carry_the_difference_are_those_farthest_to_its_side():
    images, probabilities = clean(100, seed=0)
    images[7] = moved(images[7:8], 9)[0]
    result = parts(judged(moved(images, 2), probabilities))[STATISTICS]
    assert result.positions[0] == 7
    assert len(set(result.positions)) == 10


def test_the_budget_is_shared_in_three():
    result = judged(*clean(100, seed=4))
    assert result.p_value == pytest.approx(min(1, 3 * min(part.p_value for part in result.parts)))
    for part in result.parts[:2]:
        assert part.p_value == pytest.approx(min(1, len(part.features) * part.features[0].p_value))


@pytest.mark.parametrize("images", [np.zeros((60, 28, 28), np.uint8), np.full((60, 28, 28), 255, np.uint8)])
def test_images_without_contrast_are_drift_and_no_error(images):
    assert judged(images, answers(np.zeros(60, int), seed=0)).p_value < 1e-6


def test_brief_keeps_the_numbers_and_the_first_features():
    result = judged(*clean(100, seed=4)).named([str(place) for place in range(100)])
    brief = result.brief()
    assert (brief.p_value, brief.features, brief.images) == (result.p_value, result.features[:3], result.images)
    assert [part.p_value for part in brief.parts] == [part.p_value for part in result.parts]
    assert not any(part.images or part.positions for part in brief.parts)


def test_a_rank_that_the_reference_does_not_have_is_refused():
    assert data_drift(REFERENCE, *clean(50, seed=0), len(REFERENCE)).n == 50
    with pytest.raises(RankError, match=r"monitoring\.tail_rank: 2001 is more than the 2,000 images"):
        data_drift(REFERENCE, *clean(50, seed=0), len(REFERENCE) + 1)
