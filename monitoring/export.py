"""Which labels of a prediction log are taken, for what, and an account of all others."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from delivery.history import Rows
from delivery.schema import SECOND
from digits.dataset import CLASSES, Labelled
from digits.likeness import near
from digits.production import Production
from monitoring.labelled_images import Images, collect
from monitoring.poisoning import Sender, judge, within_shares
from monitoring.settings import FeedbackParams

HELD_BACK = "of a sender that is held back"
SURPLUS = "beyond what one sender may give"
OLDER = "older than the newest `max_images`"
LIKE_HOLDOUT = "of an image that is nearly one of those that models are compared on"
TOO_OLD = "that models would be compared on, but older than `holdout_days`"
DAY = 86_400 * SECOND
_KINDS, _SHOWN = ("client", "source"), 10


@dataclasses.dataclass(frozen=True)
class Export:
    """What is taken, and where all of it is from. The second goes with the first, and names nobody."""

    production: Production
    provenance: dict[str, Any]
    senders: list[Sender]  # for the one who runs the export
    times: tuple[np.ndarray, np.ndarray]  # when the labels of both parts came, int64 (N,): microseconds since 1970, UTC
    known: frozenset[bytes]  # digests of all images that the log has labels of
    since: int = 0  # labels that came before are left out; microseconds since 1970, UTC
    left: Counter[str] = dataclasses.field(default_factory=Counter)  # of the export before: why images are not in this

    def __str__(self) -> str:
        taken = self.provenance["taken"]
        rows = {f"taken to {purpose}": sum(taken[part]) for purpose, part in _PURPOSES.items()}
        rows |= self.provenance["not_taken"]
        lines = [
            f"{self.provenance['labels']:>9,} labels",
            *(f"{count:>9,} {reason}" for reason, count in rows.items()),
            *(f"of exports before: {count:,} {reason}" for reason, count in self._earlier().items()),
        ]
        for kind in _KINDS:
            senders, shown = _first(self.senders, kind)
            for sender in shown:
                found = f"{sender.contradicting:,} contradict the model, {sender.doubtful:,} of them without support"
                held = "; HELD BACK" if sender.held_back else ""
                images = f"{sender.labels:,} images, {sender.judged:,} judged"
                lines.append(f"{kind} {sender.name}: {images}: {found}{held}")
            if more := len(senders) - len(shown):
                lines.append(
                    f"and {more:,} other {kind}s, {_held_back(senders) - _held_back(shown):,} of them held back"
                )
        return "\n".join(lines)

    def _earlier(self) -> dict[str, int]:
        kept = self.provenance.get("earlier", {})
        rows = {f"kept to {purpose}": sum(kept.get(part, ())) for purpose, part in _PURPOSES.items()}
        rows |= {f"left out {reason}": count for reason, count in self.left.items()}
        return {reason: count for reason, count in rows.items() if count}


_PURPOSES = {"train on": "train", "compare models on": "holdout"}


def export(parts: Iterable[Rows], params: FeedbackParams, dataset: str, *, simulated: bool = False) -> Export:
    """Choose what is taken.

    Args:
        parts: as `History.labelled` yields them.
        params: limits of the guards.
        dataset: whose classes the labels are.
        simulated: take simulated traffic, too.
    """
    known = set[bytes]()
    images, refused = collect(_noted(parts, known), params.agreement, simulated=simulated)
    labels = len(images) + refused.total()
    senders, kept = judge(images, params)
    images = _reduced(images, kept, HELD_BACK, refused)
    images = _reduced(images, within_shares(images, params), SURPLUS, refused)
    newest = np.arange(len(images)) >= len(images) - params.max_images  # they are in the order of time
    images = _reduced(images, newest, OLDER, refused)
    held_out = for_comparison(images.pixels, params.holdout)
    recent = images.times >= images.times.max(initial=0) - params.holdout_days * DAY
    alike = near(images.pixels, images.pixels[held_out])
    refused += Counter({LIKE_HOLDOUT: int((alike & ~held_out).sum()), TOO_OLD: int((held_out & ~recent).sum())})
    train, holdout = images.take(~held_out & ~alike), images.take(held_out & recent)
    both = images.take(~held_out & ~alike | held_out & recent)
    provenance = {
        "labels": labels,
        "simulated": simulated,
        "taken": {"train": _classes(train), "holdout": _classes(holdout)},
        "not_taken": dict(sorted(refused.items())),
        "since": _time(both.times.min()) if len(both) else None,
        "until": _time(both.times.max()) if len(both) else None,
        "versions": dict(sorted(Counter(both.versions.tolist()).items())),
        "model_was_wrong": int((both.predicted != both.labels).sum()),
        "senders": _unnamed(senders),
        "guards": dataclasses.asdict(params) | {"trusted": len(params.trusted or ())},
    }
    found = (Labelled(part.pixels, part.labels) for part in (train, holdout))
    return Export(Production(dataset, *found), provenance, senders, (train.times, holdout.times), frozenset(known))


def for_comparison(pixels: np.ndarray, share: float) -> np.ndarray:
    """Which images (N, 28, 28) are never trained on, bool (N,): by their pixels alone, so that none ever is later."""
    digests = (hashlib.sha256(b"holdout " + image.tobytes()).digest()[:8] for image in pixels)
    return np.array([int.from_bytes(found, "big") < share * 2**64 for found in digests], bool)


def digest(image: np.ndarray) -> bytes:
    """What stands for the pixels of an image."""
    return hashlib.sha256(image.tobytes()).digest()[:16]


def _noted(parts: Iterable[Rows], known: set[bytes]) -> Iterator[Rows]:
    for rows in parts:
        known.update(map(digest, rows.pixels))
        yield rows


def _reduced(images: Images, kept: np.ndarray, reason: str, refused: Counter[str]) -> Images:
    if not kept.all():
        refused[reason] += int((~kept).sum())
    return images.take(kept)


def _classes(images: Images) -> list[int]:
    return [int(count) for count in np.bincount(images.labels, minlength=CLASSES)]


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(int(microseconds) // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _first(senders: Sequence[Sender], kind: str) -> tuple[list[Sender], list[Sender]]:
    """All senders of a kind, and those to be shown: who is held back before others, who sent much before others."""
    found = [sender for sender in senders if sender.kind == kind]
    return found, sorted(found, key=lambda sender: (not sender.held_back, -sender.labels))[:_SHOWN]


def _held_back(senders: Sequence[Sender]) -> int:
    return sum(sender.held_back for sender in senders)


def _unnamed(senders: Sequence[Sender]) -> dict[str, Any]:
    """Senders without their names: what they call themselves can be a person's, and goes into a repository for ever."""
    account = {}
    for kind in _KINDS:
        found, shown = _first(senders, kind)
        first = [dataclasses.asdict(sender) for sender in shown]
        account[f"{kind}s"] = {
            "all": len(found),
            "held_back": _held_back(found),
            "first": [{key: value for key, value in entry.items() if key not in ("kind", "name")} for entry in first],
        }
    return account
