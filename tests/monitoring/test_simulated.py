import itertools

import numpy as np
import pytest

from monitoring.shifts import rotated
from monitoring.simulated import CHANGES, Traffic, Trial, TrialError
from tests import synthetic

DATA = synthetic.digits(200)


def given(count, **trial):
    return list(itertools.islice(Traffic(DATA, Trial(**trial)), count))


def as_they_are(pictures):
    """Places among the data of images that were left as they are; None for others."""
    known = {image.tobytes(): place for place, image in enumerate(DATA.images)}
    return [known.get(picture.image.tobytes()) for picture in pictures]


def test_all_images_come_once_and_then_all_of_them_in_another_order():
    traffic = Traffic(DATA, Trial())
    first, second = (as_they_are(itertools.islice(traffic, 200)) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(200))
    assert first != second
    assert traffic.rounds == 2


def test_the_same_seed_gives_the_same_traffic():
    def content(**trial):
        return [(picture.image.tobytes(), picture.label) for picture in given(50, change="noise", share=0.5, **trial)]

    assert content() == content() != content(seed=1)


def test_it_changes_when_it_should_and_keeps_its_labels():
    pictures = given(40, change="rotate30", clean=15)
    places = as_they_are(given(40))
    assert as_they_are(pictures)[:15] == places[:15]
    assert [picture.late for picture in pictures] == [False] * 15 + [True] * 25
    turned = rotated(DATA.images[places], 30)
    np.testing.assert_array_equal([picture.image for picture in pictures[15:]], turned[15:])
    assert [picture.label for picture in pictures] == DATA.labels[places].tolist()


def test_a_share_of_the_images_changes():
    places = as_they_are(given(1000, change="invert", share=0.1))
    assert 70 <= places.count(None) <= 130


@pytest.mark.parametrize(("share", "expected"), [(1.0, range(1)), (0.5, range(30, 80))])
def test_a_class_stays_away(share, expected):
    pictures = given(1300, change="without3", share=share, clean=200)
    labels = [picture.label for picture in pictures]
    assert labels[:200].count(3) == 20
    assert labels[200:].count(3) in expected
    assert None not in as_they_are(pictures)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_can_be_tried(change):
    (picture,) = given(1, change=change)
    assert (picture.image.shape, picture.image.dtype) == ((28, 28), np.uint8)


def test_what_can_t_be_tried_is_refused():
    with pytest.raises(TrialError, match=r"SHIFT=rotate31: expected clean, noise, .*, or list"):
        Trial("rotate31")
    threes = DATA.take(np.flatnonzero(DATA.labels == 3))
    with pytest.raises(TrialError, match="SHIFT=without3: all images are of that class"):
        Traffic(threes, Trial("without3"))
