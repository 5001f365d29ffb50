"""Guards against labels that are wrong on purpose, or by a broken sender, before anything is trained on them.

They make a poisoned model expensive, not impossible. Whoever speaks from more addresses than all honest senders
together is taken for the majority; whoever is wrong rarely, or only where the model is unsure, does what honest people
do, too. What gets through has still to pass the comparison on the test images, which no sender has touched, and a
reviewer.
"""

import bisect
import dataclasses
import hashlib

import numpy as np
from scipy import special

from digits.likeness import neighbours, vectors
from monitoring.labelled_images import Images
from monitoring.settings import FeedbackParams

# Sources that are many senders: who does not name himself, and who uses the service's page. As clients they are told
# apart.
_SHARED = ("anonymous", "page")
FEW = "all with few labels"  # who has too few to be judged alone is judged together with the others like him
_NEIGHBOURS = 3
_JUDGED = 2000  # of a client's images, drawn at random, so that a flood of them takes no hours


@dataclasses.dataclass(frozen=True)
class Sender:
    """One source, or one client, and what is to be thought of its labels."""

    kind: str  # source or client
    name: str
    labels: int
    judged: int  # of these: images of which the model was confident; of very many, a part of them
    contradicting: int  # of the judged: the model said something else
    doubtful: int  # of the contradicting: other clients do not support the label either
    held_back: bool


def judge(images: Images, params: FeedbackParams) -> tuple[list[Sender], np.ndarray]:
    """Find senders whose labels are doubtful more often than honest ones are.

    A label is doubtful if a confident model said something else and other clients do not support it. The model alone is
    no judge: where the inputs have drifted it can be confident and wrong, which is when labels are needed most. But
    then the images of other clients have drifted, too, and their labels say the same of images that look alike.

    Of the clients the worst is held back first, and has no vote on the others any more; then come the sources, in what
    is left, so that nobody discredits a name that others use as well.

    Returns:
        all senders, clients first and those with most labels first, and which images are of none that is held back,
        bool (N,).
    """
    clients, sources = (grouped(names, params.smallest_sender) for names in (images.clients, images.sources))
    drawn = sample(images, clients, params.seed)
    evidence = _Evidence(images.take(drawn), clients[drawn], params.confident)
    left = np.ones(len(drawn), bool)
    found: dict[tuple[str, str], Sender] = {}

    def look(kind: str, names: np.ndarray) -> list[Sender]:
        for name in np.unique(names[drawn][left]).tolist():
            judged, contradicting, doubtful = evidence.counts(left & (names[drawn] == name))
            held_back = name not in (params.trusted or ()) and too_many(doubtful, judged, params)
            labels = int((names == name).sum())
            found[kind, name] = Sender(kind, name, labels, judged, contradicting, doubtful, held_back)
        here = set(names[drawn][left].tolist())
        return [sender for sender in found.values() if sender.held_back and sender.kind == kind and sender.name in here]

    while bad := look("client", clients):
        worst = max(bad, key=lambda sender: sender.doubtful / sender.judged)
        left &= clients[drawn] != worst.name
        evidence.votes.pop(worst.name, None)
    look("source", sources)
    kept = np.ones(len(images), bool)
    for sender in found.values():
        kept &= ((clients if sender.kind == "client" else sources) != sender.name) | (not sender.held_back)
    return sorted(found.values(), key=lambda sender: (sender.kind, -sender.labels)), kept


class _Evidence:
    """What the model and other clients say of the labels of some images."""

    def __init__(self, images: Images, clients: np.ndarray, confident: float) -> None:
        self.confident = images.confidence >= confident
        self.contradicting = self.confident & (images.labels != images.predicted)
        self.votes = support(images, clients, self.contradicting)

    def counts(self, which: np.ndarray) -> tuple[int, int, int]:
        """Of `which` images, bool (N,): with a confident model, contradicting it, and these without support."""
        cast = np.stack([np.zeros(len(which), np.int8), *self.votes.values()])
        supported = (cast > 0).any(0) & (cast.sum(0, dtype=int) >= 0)
        shown = self.confident, self.contradicting, self.contradicting & ~supported
        judged, contradicting, doubtful = (int((which & some).sum()) for some in shown)
        return judged, contradicting, doubtful


def too_many(doubtful: int, judged: int, params: FeedbackParams) -> bool:
    """Whether so many doubtful labels are more than chance explains where `params.doubtful` is the share."""
    return bool(doubtful) and bool(special.bdtrc(doubtful - 1, judged, params.doubtful) <= params.significance)


def grouped(names: np.ndarray, smallest: int) -> np.ndarray:
    """The names, but `FEW` in place of those that occur less often than `smallest`, text (N,)."""
    found, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    return np.where(counts >= smallest, found, FEW)[inverse] if len(names) else names


def sample(images: Images, clients: np.ndarray, seed: int) -> np.ndarray:
    """Positions of at most `_JUDGED` images of each client, ascending."""
    order = ranking(images, seed)
    parts = [order[clients[order] == name][:_JUDGED] for name in np.unique(clients)]
    return np.sort(np.concatenate(parts)) if parts else order


def support(images: Images, clients: np.ndarray, asked: np.ndarray) -> dict[str, np.ndarray]:
    """What each client's labels say to those of others, where it is `asked`, bool (N,): 1 for, -1 against, int8 (N,).

    A client has one vote on an image, however many it sent itself: most of its three that look most like that.
    """
    pixels = vectors(images.pixels)
    votes = {}
    for name in np.unique(clients).tolist():
        theirs, others = np.flatnonzero(clients == name), np.flatnonzero(asked & (clients != name))
        if len(theirs) >= _NEIGHBOURS:
            nearest = theirs[neighbours(pixels[others], pixels[theirs], _NEIGHBOURS)]
            same = (images.labels[nearest] == images.labels[others, None]).sum(1) * 2 > _NEIGHBOURS
            votes[name] = np.zeros(len(images), np.int8)
            votes[name][others] = np.where(same, 1, -1)
    return votes


def within_shares(images: Images, params: FeedbackParams) -> np.ndarray:
    """Which images stay if no sender, by source and by client, may have more than its share: bool (N,).

    What is too much is dropped at random, by `ranking`: what stays today stays tomorrow, when there are more.
    """
    kept, order = np.ones(len(images), bool), ranking(images, params.seed)
    before = -1
    while before != (before := int(kept.sum())):
        for names in (images.clients, images.sources):
            found, inverse = np.unique(names, return_inverse=True)
            free = np.isin(found, (*(params.trusted or ()), *_SHARED))
            counts = np.bincount(inverse[kept], minlength=len(found))
            most = max(params.always, allowed(counts, free, params.largest_share))
            for sender in np.flatnonzero((counts > most) & ~free):
                mine = order[kept[order] & (inverse[order] == sender)]
                kept[mine[most:]] = False
    return kept


def allowed(counts: np.ndarray, free: np.ndarray, share: float) -> int:
    """How many images a sender may keep so that none has more than `share` of all that are kept.

    Args:
        counts: images of each sender, int (S,).
        free: who may have more, bool (S,).
        share: above 0, below 1.
    """

    def too_many(most: int) -> bool:
        return bool(most > share * np.where(free, counts, np.minimum(counts, most)).sum())

    return bisect.bisect_left(range(1, int(counts.max(initial=0)) + 1), True, key=too_many)


def ranking(images: Images, seed: int) -> np.ndarray:
    """The positions in an order that looks random, in which two images always stand the same way, int (N,)."""
    digests = [hashlib.sha256(b"%d " % seed + pixels.tobytes()).digest() for pixels in images.pixels]
    return np.array(sorted(range(len(images)), key=digests.__getitem__), int)
