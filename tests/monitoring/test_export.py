import json

import numpy as np
import pytest

from delivery.history import Rows
from digits.production import keys
from monitoring.export import HELD_BACK, LIKE_HOLDOUT, OLDER, SURPLUS, TOO_OLD, Export, export
from monitoring.labelled_images import Images
from tests.monitoring.labels import params, sent, together

DAY = 86_400_000_000
HONEST = together(*(sent(150, name, f"home of {name}", seed=seed) for seed, name in enumerate(["ann", "bob", "cy"])))


def rows(images: Images) -> Rows:
    """The log that has these images."""
    probabilities = np.full((len(images), 10), 0.001, np.float32)
    probabilities[np.arange(len(images)), images.predicted] = images.confidence
    return Rows(
        ids=[str(place) for place in range(len(images))],
        times=images.times,
        versions=images.versions.tolist(),
        stages=["production"] * len(images),
        pixels=images.pixels,
        probabilities=probabilities,
        labels=images.predicted.astype(np.int64),
        truths=images.labels.astype(np.int64),
        truth_times=images.times,
        sources=images.sources.tolist(),
        clients=images.clients.tolist(),
    )


def exported(images: Images, **changes) -> Export:
    """What is exported; each label is accounted for."""
    made = export([rows(images)], params(**changes), "MNIST")
    taken, refused = made.provenance["taken"], made.provenance["not_taken"]
    assert sum(taken["train"]) + sum(taken["holdout"]) + sum(refused.values()) == made.provenance["labels"]
    assert sum(taken["train"]) == len(made.production.train.labels)
    assert sum(taken["holdout"]) == len(made.production.holdout.labels)
    return made


def test_all_that_is_sound_is_taken_with_its_label():
    made = exported(HONEST)
    assert made.provenance["not_taken"] == {}
    assert made.provenance["labels"] == 450
    known = dict(zip(keys(HONEST.pixels), HONEST.labels.tolist(), strict=True))
    for part in (made.production.train, made.production.holdout):
        assert [known[key] for key in keys(part.images)] == part.labels.tolist()
        assert part.images.dtype == part.labels.dtype == np.uint8


def test_an_image_is_held_out_by_its_pixels_alone_for_good():
    made = exported(HONEST)
    held_out = set(keys(made.production.holdout.images))
    assert 0.15 < len(held_out) / 450 < 0.25
    later = exported(together(HONEST.take(np.arange(450)[::-1]), sent(300, "dan", "home of dan", seed=9)))
    assert held_out < set(keys(later.production.holdout.images))
    assert set(keys(made.production.train.images)) < set(keys(later.production.train.images))


def test_models_are_compared_on_recent_images_and_old_ones_are_still_not_trained_on():
    old, new = sent(200, seed=1), sent(200, seed=2)
    new = Images(**(vars(new) | {"times": new.times + 40 * DAY}))
    made, all_of_it = exported(together(old, new)), exported(together(old, new), holdout_days=50)
    recent = set(keys(new.pixels))
    assert set(keys(made.production.holdout.images)) == set(keys(all_of_it.production.holdout.images)) & recent
    assert keys(made.production.train.images) == keys(all_of_it.production.train.images)
    dropped = len(all_of_it.production.holdout.labels) - len(made.production.holdout.labels)
    assert made.provenance["not_taken"] == {TOO_OLD: dropped}


def test_what_is_nearly_a_held_out_image_is_not_trained_on():
    first = exported(HONEST)
    (original, *_), (label, *_) = first.production.holdout
    copies = sent(30, "dan", "home of dan", seed=9)
    copies.pixels[:] = original
    copies.pixels[np.arange(30), np.arange(30) // 6, np.arange(30) % 6] ^= 1  # each by one grey level of one pixel
    copies.labels[:] = copies.predicted[:] = label
    made = exported(together(HONEST, copies))
    assert 15 < made.provenance["not_taken"][LIKE_HOLDOUT] <= 30
    differences = np.abs(made.production.train.images.astype(int) - original).sum((1, 2))
    assert differences.min() > 1


def test_the_newest_are_taken_where_there_are_too_many():
    made = exported(sent(300, "page", "home"), max_images=100, always=1000)
    assert made.provenance["not_taken"][OLDER] == 200
    assert made.provenance["since"] > "1970-01-01T00:03:19Z"


def test_the_account_says_what_was_held_back_and_names_nobody():
    flood, surplus = sent(1000, "mallory", "lair", wrong=1, seed=9), sent(400, "dan", "d", seed=8)
    made = exported(together(HONEST, flood, surplus), always=160)
    assert made.provenance["not_taken"][HELD_BACK] == 1000
    assert made.provenance["not_taken"][SURPLUS] > 100
    written = json.dumps(made.provenance)
    assert [name for name in ("mallory", "lair", "ann", "home of") if name in written] == []
    clients, sources = (made.provenance["senders"][kind] for kind in ("clients", "sources"))
    assert [clients["all"], clients["held_back"], sources["all"], sources["held_back"]] == [5, 1, 4, 0]
    assert clients["first"][0] == {
        "labels": 1000,
        "judged": 1000,
        "contradicting": 1000,
        "doubtful": 1000,
        "held_back": True,
    }
    assert "client lair: 1,000 images, 1,000 judged: 1,000 contradict the model" in str(made)
    assert str(made).count("HELD BACK") == 1


def test_of_many_senders_the_account_names_a_few():
    flood = sent(
        3000, [f"mallory{number}" for number in range(100)], [f"lair{number}" for number in range(100)], wrong=1
    )
    lines = str(exported(together(HONEST, flood))).splitlines()
    assert sum("HELD BACK" in line for line in lines) == 10
    assert "and 93 other clients, 90 of them held back" in lines


def test_the_account_says_where_it_is_from():
    newer = Images(**(vars(sent(50, "dan", "d", seed=8)) | {"versions": np.full(50, "v0.2.0")}))
    made = exported(together(HONEST, newer))
    assert made.provenance["versions"] == {"v0.1.0": 450, "v0.2.0": 50}
    assert (made.provenance["since"], made.provenance["until"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:02:29Z")
    assert made.provenance["model_was_wrong"] == 0
    assert made.provenance["guards"]["doubtful"] == 0.1
    assert json.loads(json.dumps(made.provenance)) == made.provenance


@pytest.mark.parametrize("images", [HONEST.take(np.array([], int)), sent(30, wrong=1)], ids=["no labels", "none sound"])
def test_nothing_sound_is_an_empty_export(images):
    made = exported(images)
    assert made.production.train.images.shape == made.production.holdout.images.shape == (0, 28, 28)
    assert made.provenance["since"] is None
    assert str(made)
