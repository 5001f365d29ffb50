"""Which of a sweep's trials are worth keeping: the best of all, or the best of each size."""

import json
import math
from collections.abc import Iterable

from scaling.records import Record


def finished(trials: Iterable[Record]) -> list[Record]:
    """Those that were trained to their end, so that they can be compared."""
    return [record for record in trials if record["state"] == "finished"]


def best(trials: Iterable[Record], count: int) -> list[Record]:
    """Finished trials, the best by validation accuracy first; then with fewer parameters, then the earlier one.

    Of several with the same settings, which are the same to the bit, the first.
    """
    order = sorted(
        finished(trials),
        key=lambda record: (-(record["validation_accuracy"] or 0), record["parameters"] or 0, record["trial"]),
    )
    different = {json.dumps(record["settings"], sort_keys=True): record for record in reversed(order)}
    return [record for record in order if record in different.values()][:count]


def pareto(trials: Iterable[Record]) -> list[Record]:
    """Finished trials that no other one with as few parameters beats, from few parameters to many."""
    order = sorted(
        finished(trials),
        key=lambda record: (record["parameters"] or 0, -(record["validation_accuracy"] or 0), record["trial"]),
    )
    highest, found = -1.0, []
    for record in order:
        accuracy = record["validation_accuracy"] or 0.0
        if accuracy > highest:
            highest = accuracy
            found.append(record)
    return found


def thinned(frontier: list[Record], count: int) -> list[Record]:
    """So many of a frontier, spread over the logarithm of their parameters; the most accurate is among them.

    Args:
        frontier: from few parameters to many.
        count: at least 1.
    """
    sizes = [math.log(record["parameters"] or 1) for record in frontier]
    taken = [len(frontier) - 1] if frontier else []
    while len(taken) < min(count, len(frontier)):
        left = [place for place in range(len(frontier)) if place not in taken]
        # The farthest from all that is taken, and so the smallest network next.
        taken.append(max(left, key=lambda place: min(abs(sizes[place] - sizes[other]) for other in taken)))
    return [frontier[place] for place in sorted(taken)]
