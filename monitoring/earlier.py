"""What was exported before stays: the log forgets, and with its images a model would forget what they had taught it."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digits import production
from digits.dataset import CLASSES, Labelled
from digits.errors import PipelineError
from digits.likeness import near
from digits.production import Production
from digits.storage import FileError, read_arrays, read_json, write_arrays
from monitoring.export import DAY, LIKE_HOLDOUT, OLDER, TOO_OLD, Export, digest, for_comparison
from monitoring.settings import FeedbackParams

TIMES = "times.npz"  # beside the images: when their labels came, which the next export alone asks
REFUSED = "that are in the log, and not taken from it any more"
BEFORE = "whose label came before --since"
HELD_OUT = "that are held out, since `holdout` was raised"


class EarlierError(PipelineError):
    """What was exported before can't be kept together with what is exported now."""


class Part(NamedTuple):
    """Labelled images, and when their labels came: int64 (N,), microseconds since 1970, UTC."""

    data: Labelled
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def reduced(self, kept: np.ndarray, reason: str, left: Counter[str]) -> "Part":
        """Those that are `kept`, bool (N,); all others are counted."""
        left[reason] += int((~kept).sum())
        return Part(self.data.take(np.flatnonzero(kept)), self.times[kept])

    def joined(self, other: "Part") -> "Part":
        """Both, by the times of their labels."""
        if not len(self) or not len(other):
            return self if len(self) else other
        times = np.concatenate([self.times, other.times])
        order = np.argsort(times, kind="stable")
        arrays = (np.concatenate(pair) for pair in zip(self.data, other.data, strict=True))
        return Part(Labelled(*arrays).take(order), times[order])


def write(folder: Path, made: Export) -> None:
    """Write an export, and what the next one has to know of it."""
    production.write(folder, made.production, made.provenance)
    write_arrays(folder / TIMES, train=made.times[0], holdout=made.times[1])


def keep(made: Export, folder: Path, params: FeedbackParams) -> Export:
    """An export of the log, and of an earlier one what the log has no more.

    The guards let that through once. What the log still has is judged by the log alone: who is held back by now loses
    what he gave before. What came before the export's `since` is left out of both. For the parts, the newest and those
    that look alike, the rules are those of the export.

    Args:
        made: of the log.
        folder: of the earlier export.
        params: limits of the guards.

    Raises:
        PipelineError: the earlier one is damaged, or another stage's or data set's, or of the two one has simulated
            traffic.
    """
    before = production.read(folder)
    if not len(before.train.labels) + len(before.holdout.labels):
        return made
    _refuse_others(folder, made)
    left: Counter[str] = Counter()
    old_train, old_holdout = (_kept(part, made, left) for part in _parts(before, folder))
    train, holdout = map(Part, (made.production.train, made.production.holdout), made.times)

    newest = max(part.times.max(initial=0) for part in (old_train, old_holdout, train, holdout))
    old_holdout = old_holdout.reduced(old_holdout.times >= newest - params.holdout_days * DAY, TOO_OLD, left)
    old_train = old_train.reduced(~for_comparison(old_train.data.images, params.holdout), HELD_OUT, left)
    compared = old_holdout.joined(holdout).data.images
    old_train = old_train.reduced(~near(old_train.data.images, compared), LIKE_HOLDOUT, left)
    refused = Counter(made.provenance["not_taken"])
    train = train.reduced(~near(train.data.images, compared), LIKE_HOLDOUT, refused)

    times = np.concatenate([old_train.times, old_holdout.times])
    room = max(params.max_images - len(train) - len(holdout), 0)
    fits = np.zeros(len(times), bool)
    fits[np.argsort(times, kind="stable")[max(len(times) - room, 0) :]] = True
    old_train = old_train.reduced(fits[: len(old_train)], OLDER, left)
    old_holdout = old_holdout.reduced(fits[len(times) - len(old_holdout) :], OLDER, left)

    if not len(old_train) + len(old_holdout):
        return dataclasses.replace(made, left=+left)  # the same bytes as without an earlier one
    train, holdout = old_train.joined(train), old_holdout.joined(holdout)
    account = {
        "taken": _classes(train, holdout),
        "earlier": _classes(old_train, old_holdout),
        "not_taken": dict(sorted((+refused).items())),
    }
    return dataclasses.replace(
        made,
        production=Production(before.dataset, train.data, holdout.data),
        provenance=made.provenance | account,
        times=(train.times, holdout.times),
        left=+left,
    )


def _refuse_others(folder: Path, made: Export) -> None:
    found = read_json(folder / production.PROVENANCE)
    stage, simulated = made.provenance["stage"], made.provenance["simulated"]
    differ = [
        f"of {key} {found[key]!r}, this one of {mine!r}"
        for key, mine in (("stage", stage), ("dataset", made.production.dataset))
        if found.get(key, mine) != mine
    ]
    if found.get("simulated", False) != simulated:
        theirs, mine = ("without", "with") if simulated else ("with", "without")
        differ.append(f"{theirs} simulated traffic, this one {mine}")
    if differ:
        option = " SIMULATED=1" if simulated else ""
        raise EarlierError(
            f"the export before is {differ[0]}, and they don't mix; nothing was changed. To put this one in its place: "
            f"make export-feedback STAGE={stage}{option} ALONE=1 [PUSH=1]"
        )


def _parts(before: Production, folder: Path) -> tuple[Part, Part]:
    sizes = [len(data.labels) for data in (before.train, before.holdout)]
    try:
        times = read_arrays(folder / TIMES, "train", "holdout")
    except FileNotFoundError:  # exported before there was such a file: as old as can be
        times = tuple(np.zeros(size, np.int64) for size in sizes)
    except FileError:
        times = ()
    if [(found.shape, found.dtype) for found in times] != [((size,), np.dtype(np.int64)) for size in sizes]:
        raise EarlierError(
            f"{folder / TIMES}: not a time for each image beside it; restore it with `dvc checkout --force {folder}`"
        )
    return Part(before.train, times[0]), Part(before.holdout, times[1])


def _kept(part: Part, made: Export, left: Counter[str]) -> Part:
    """Those that the log has no more, and that are not too old to be asked for."""
    taken = {digest(image) for data in (made.production.train, made.production.holdout) for image in data.images}
    found = [digest(image) for image in part.data.images]
    left[REFUSED] += sum(one in made.known and one not in taken for one in found)
    forgotten = part.reduced(np.array([one not in made.known for one in found], bool), "", Counter())
    return forgotten.reduced(forgotten.times >= made.since, BEFORE, left)


def _classes(train: Part, holdout: Part) -> dict[str, list[int]]:
    parts = {"train": train, "holdout": holdout}
    return {name: np.bincount(part.data.labels, minlength=CLASSES).tolist() for name, part in parts.items()}
