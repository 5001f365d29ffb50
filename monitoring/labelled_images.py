"""From rows of the prediction log to labelled images: each one once, with the label that those who saw it agree on."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from delivery.history import Rows
from digits.dataset import CLASSES, IMAGE_SIZE
from monitoring.sending import SOURCE as SIMULATED

# Why a label is not taken.
SIMULATION = "of simulated traffic, which is made of test images"
NO_CLASS = "labelled as no class that there is"
BLANK = "of an image of one grey level"
REPEATED = "of an image that another one stands for"
DISPUTED = "of an image that its senders do not agree on"


class _Vote(NamedTuple):
    time: int
    label: int
    predicted: int
    confidence: float
    version: str


@dataclasses.dataclass(frozen=True)
class Images:
    """Labelled images, one an entry of each field."""

    pixels: np.ndarray  # uint8 (N, 28, 28)
    labels: np.ndarray  # uint8 (N,), the true ones
    predicted: np.ndarray  # uint8 (N,), by the version that was asked
    confidence: np.ndarray  # float64 (N,), its probability for that
    times: np.ndarray  # int64 (N,), when the label came: microseconds since 1970, UTC
    versions: np.ndarray  # text (N,)
    sources: np.ndarray  # text (N,), who labelled it, in his own words
    clients: np.ndarray  # text (N,), from which address, by a name that does not tell it

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: np.ndarray) -> "Images":
        """Those at `places`, positions or a mask."""
        return Images(**{field.name: getattr(self, field.name)[places] for field in dataclasses.fields(self)})


def collect(parts: Iterable[Rows], agreement: float, simulated: bool = False) -> tuple[Images, Counter[str]]:
    """Gather the labels of each image, and settle on one.

    An address has one vote an image, however many names it gives itself; if these say different things, each label gets
    its part of the vote. Of what one sender said about an image the last word counts.

    Args:
        parts: as `History.labelled` yields them.
        agreement: share of the votes that a label needs.
        simulated: take the labels of simulated traffic, too.

    Returns:
        the images, by the time of their labels, and how many labels were not taken for each reason.
    """
    refused: Counter[str] = Counter()
    votes: dict[bytes, dict[tuple[str, str], _Vote]] = defaultdict(dict)
    for rows in parts:
        blank = rows.pixels.max((1, 2)) == rows.pixels.min((1, 2))
        for row, source in enumerate(rows.sources):
            truth, predicted = int(rows.truths[row]), int(rows.labels[row])
            if source == SIMULATED and not simulated:
                refused[SIMULATION] += 1
            elif not (0 <= truth < CLASSES and 0 <= predicted < CLASSES):
                refused[NO_CLASS] += 1
            elif blank[row]:
                refused[BLANK] += 1
            else:
                said = votes[rows.pixels[row].tobytes()]
                sender = rows.clients[row], source
                refused[REPEATED] += sender in said
                confidence = float(rows.probabilities[row, predicted])
                said[sender] = _Vote(int(rows.truth_times[row]), truth, predicted, confidence, rows.versions[row])
    settled = []
    for key, said in votes.items():
        label = _settled(said, agreement)
        if label is None:
            refused[DISPUTED] += len(said)
            continue
        refused[REPEATED] += len(said) - 1
        sender, vote = min((item for item in said.items() if item[1].label == label), key=lambda item: item[1].time)
        settled.append((key, vote, *sender))
    settled.sort(key=lambda entry: (entry[1].time, entry[0]))
    return _images(settled), +refused


def _settled(said: dict[tuple[str, str], _Vote], agreement: float) -> int | None:
    names = Counter(client for client, _ in said)
    shares: dict[int, float] = defaultdict(float)
    for (client, _), vote in said.items():
        shares[vote.label] += 1 / names[client] / len(names)
    label = max(shares, key=lambda label: shares[label])
    return label if shares[label] >= agreement else None


def _images(settled: list[tuple[bytes, _Vote, str, str]]) -> Images:
    votes = [vote for _, vote, _, _ in settled]
    return Images(
        pixels=np.frombuffer(b"".join(key for key, *_ in settled), np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE),
        labels=np.array([vote.label for vote in votes], np.uint8),
        predicted=np.array([vote.predicted for vote in votes], np.uint8),
        confidence=np.array([vote.confidence for vote in votes], float),
        times=np.array([vote.time for vote in votes], np.int64),
        versions=np.array([vote.version for vote in votes], str),
        sources=np.array([source for *_, source in settled], str),
        clients=np.array([client for _, _, client, _ in settled], str),
    )
