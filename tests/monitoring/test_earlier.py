"""What of an export stays in the next one, when the log that it was made of is not there any more."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from digits import production
from digits.production import keys
from digits.storage import write_arrays, write_json
from monitoring import earlier
from monitoring.earlier import BEFORE, HELD_OUT, REFUSED, EarlierError
from monitoring.export import LIKE_HOLDOUT, OLDER, TOO_OLD, Export, export
from monitoring.labelled_images import Images
from tests.monitoring.labels import params, sent, together
from tests.monitoring.test_export import DAY, rows

OLD, NEW = sent(200, seed=1), sent(200, seed=2)
LATER = Images(**(vars(NEW) | {"times": NEW.times + 100 * DAY}))
SOON = Images(**(vars(NEW) | {"times": NEW.times + DAY}))


def of(images: Images, stage: str = "production", simulated: bool = False, **changes) -> Export:
    made = export([rows(images)], params(**changes), "MNIST", simulated=simulated)
    return dataclasses.replace(made, provenance={"stage": stage} | made.provenance)


def after(folder: Path, first: Export, second: Export, **changes) -> Export:
    """The second export, with what is kept of the first."""
    earlier.write(folder, first)
    return earlier.keep(second, folder, params(**changes))


def pixels(made: Export) -> tuple[set[bytes], set[bytes]]:
    """Of the images to train on, and of those held out."""
    return set(keys(made.production.train.images)), set(keys(made.production.holdout.images))


def test_what_the_log_has_forgotten_is_still_trained_on_and_what_is_new_as_well(tmp_path):
    old, new = of(OLD), of(LATER)
    made = after(tmp_path, old, new)
    assert pixels(made) == (pixels(old)[0] | pixels(new)[0], pixels(new)[1])
    known = dict(zip(keys(together(OLD, LATER).pixels), together(OLD, LATER).labels.tolist(), strict=True))
    for part, times in zip((made.production.train, made.production.holdout), made.times, strict=True):
        assert [known[key] for key in keys(part.images)] == part.labels.tolist()
        assert (np.diff(times) >= 0).all()
    assert made.left == {TOO_OLD: len(pixels(old)[1])}
    account = made.provenance
    assert sum(account["earlier"]["train"]) == len(pixels(old)[0])
    assert sum(account["taken"]["train"]) - sum(account["earlier"]["train"]) == sum(new.provenance["taken"]["train"])
    assert f"of exports before: {len(pixels(old)[0])} kept to train on\n" in str(made)
    assert f"of exports before: {len(pixels(old)[1])} left out {TOO_OLD}" in str(made)


def test_recent_images_go_on_comparing_models_where_the_log_was_lost(tmp_path):
    old, new = of(OLD), of(SOON)
    made = after(tmp_path, old, new)
    assert pixels(made) == (pixels(old)[0] | pixels(new)[0], pixels(old)[1] | pixels(new)[1])


@pytest.mark.parametrize("first", [OLD, LATER], ids=["another log before", "the same log before"])
def test_the_same_log_once_more_is_the_same_export(tmp_path, first):
    made = of(LATER) if first is LATER else after(tmp_path / "a", of(first), of(LATER))
    earlier.write(tmp_path / "b", made)
    earlier.write(tmp_path / "c", after(tmp_path / "b", made, of(LATER)))
    for name in (production.TRAIN, production.HOLDOUT, production.PROVENANCE, earlier.TIMES):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "c" / name).read_bytes(), name
    assert production.read(tmp_path / "c").train.images.tolist() == made.production.train.images.tolist()


def test_what_the_log_still_has_the_log_decides(tmp_path):
    """Who is held back by now, or corrected himself, loses what he gave before."""
    wrong = together(Images(**(vars(OLD) | {"labels": (OLD.labels + 1) % 10})), NEW)
    assert len(pixels(of(wrong))[0] & set(keys(OLD.pixels))) == 0
    made = after(tmp_path, of(OLD), of(wrong))
    assert pixels(made) == pixels(of(wrong))
    assert made.left == {REFUSED: 200}
    assert after(tmp_path, of(OLD), of(OLD)).left == {}


def test_what_came_before_the_labels_that_are_asked_for_is_not_kept_either(tmp_path):
    old = of(OLD)
    since = int(np.median(old.times[0]))
    made = after(tmp_path, old, dataclasses.replace(of(SOON), since=since))
    young = set(keys(OLD.pixels[OLD.times >= since]))
    train, holdout = (known & young for known in pixels(old))
    assert pixels(made) == (train | pixels(of(SOON))[0], holdout | pixels(of(SOON))[1])
    assert made.left == {BEFORE: len(OLD) - len(young)}
    assert min(map(np.min, made.times)) >= since


def test_only_the_newest_are_kept(tmp_path):
    new = of(LATER)
    room = 300 - sum(map(len, pixels(new)))
    made = after(tmp_path, of(OLD), new, max_images=300)
    assert sum(map(len, pixels(made))) == 300
    assert made.left[OLDER] == len(pixels(of(OLD))[0]) - room
    assert made.times[0][0] > of(OLD).times[0][0]
    alone = after(tmp_path, of(OLD), new, max_images=100)
    assert pixels(alone) == pixels(new)


def test_nothing_that_models_are_compared_on_is_trained_on(tmp_path):
    old, new = of(OLD), of(SOON)
    copy = new.production.holdout.images[0] ^ np.eye(28, dtype=np.uint8)
    old.production.train.images[0] = copy  # nearly a new one that is held out
    new.production.train.images[1] = old.production.holdout.images[1] ^ np.eye(28, dtype=np.uint8)
    made = after(tmp_path, old, new)
    assert made.left[LIKE_HOLDOUT] == made.provenance["not_taken"][LIKE_HOLDOUT] == 1
    assert not {copy.tobytes(), new.production.train.images[1].tobytes()} & pixels(made)[0]
    more = after(tmp_path, of(OLD), of(SOON, holdout=0.4), holdout=0.4)
    assert more.left[HELD_OUT] > 20
    assert pixels(more)[0] & pixels(of(together(OLD, SOON), holdout=0.4))[1] == set()


@pytest.mark.parametrize(("key", "value"), [("stage", "staging"), ("dataset", "FashionMNIST")])
def test_another_stage_s_labels_are_not_put_in_the_place_of_these(tmp_path, key, value):
    earlier.write(tmp_path, of(OLD))
    known = json.loads((tmp_path / production.PROVENANCE).read_text())
    write_json(tmp_path / production.PROVENANCE, known | {key: value})
    with pytest.raises(
        EarlierError, match=rf"{key} '{value}', this one of .*make export-feedback STAGE=production ALONE"
    ):
        earlier.keep(of(NEW), tmp_path, params())


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (True, "with simulated traffic, this one without, and .*make export-feedback STAGE=production ALONE=1"),
        (False, "without simulated traffic, this one with, and .*STAGE=production SIMULATED=1 ALONE=1"),
    ],
)
def test_simulated_traffic_does_not_mix_with_what_people_labelled(tmp_path, before, words):
    """Otherwise, once the log had forgotten it, each later export would have kept it."""
    with_, without = of(OLD, simulated=True), of(NEW)
    first, second = (with_, without) if before else (without, with_)
    with pytest.raises(EarlierError, match=f"^the export before is {words}"):
        after(tmp_path, first, second)
    more = after(tmp_path, with_, of(LATER, simulated=True))
    assert more.provenance["simulated"]
    assert pixels(more)[0] > pixels(with_)[0]


def test_an_export_that_is_empty_or_of_before_there_were_times_can_be_kept(tmp_path):
    new = of(LATER)
    production.write(tmp_path, of(OLD.take(np.array([], int)), stage="staging").production, {})
    assert earlier.keep(new, tmp_path, params()) is new
    old = of(OLD)
    production.write(tmp_path, old.production, {})
    assert pixels(earlier.keep(new, tmp_path, params())) == (pixels(old)[0] | pixels(new)[0], pixels(new)[1])


@pytest.mark.parametrize("content", [b"damaged", None])
def test_times_that_are_not_those_of_the_images_are_refused(tmp_path, content):
    earlier.write(tmp_path, of(OLD))
    path = tmp_path / earlier.TIMES
    if content is None:
        write_arrays(path, train=np.zeros(3, np.int64), holdout=np.zeros(3, np.int64))
    else:
        path.write_bytes(content)
    with pytest.raises(EarlierError, match=r"times\.npz: not a time for each image beside it; restore it with"):
        earlier.keep(of(NEW), tmp_path, params())
