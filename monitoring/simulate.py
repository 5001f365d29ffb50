"""Send test images to a running service, as traffic that drifts, to see what monitoring makes of it.

python -m monitoring.simulate [--stage staging] [--shift rotate30] [--mix 1] [--rate 50] [--clean 0] [--count N]
    [--labels 0] [--delay 0] [--seed 0] [--url http://127.0.0.1:8001]    (make simulate SHIFT=rotate30 LABELS=0.3)

The images are those of the test set that no model's reference has. They are predicted, logged and judged like any
others, and so is their accuracy: staging is where to try it. Where there are no more of them, they come again in
another order. MNIST_ADMIN_TOKEN has to be set where the service asks for a token with labels. Ctrl-C ends it.
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from delivery.client import ServiceError, ready
from delivery.settings import DeliveryParams, StageParams
from digits.dataset import Labelled, labelled
from digits.errors import run
from digits.params import load
from digits.storage import read_arrays
from monitoring.sending import NOBODY, Connection, Rhythm, Sender, Tally
from monitoring.simulated import CHANGES, CLEAN, Traffic, Trial, TrialError

TRAFFIC = Path("data/traffic.npz")  # the other half of what the reference is made of: stages/evaluate.py
LIST = "list"
_FASTEST = 2000.0  # images a second


def main() -> None:
    """Send until all is sent, or Ctrl-C; then say what came of it."""
    arguments = parsed()
    if arguments.shift == LIST:
        print("\n".join(f"{name:<9} {words}" for name, words in CHANGES.items()))
        return
    trial = Trial(arguments.shift, arguments.mix, 0 if arguments.shift == CLEAN else arguments.clean, arguments.seed)
    rhythm = Rhythm(arguments.rate, arguments.count, arguments.labels, arguments.delay, arguments.seed)
    url, token = arguments.url or address(arguments.stage), os.environ.get("MNIST_ADMIN_TOKEN") or None
    traffic = Traffic(images(TRAFFIC), trial)
    version = answering(url, None if arguments.url else arguments.stage)
    if rhythm.labels:
        check_token(url, token)
    print(f"{url} answers with {version}: {plan(trial, rhythm)}", flush=True)
    sender, started = Sender(url, token, traffic, rhythm), time.monotonic()
    try:
        sender.start()
        watch(sender, traffic)
    except KeyboardInterrupt:
        pass
    finally:
        sender.stop()
    print(summary(sender.tally, trial, time.monotonic() - started), flush=True)
    if sender.error:
        raise sender.error


def parsed() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    share, some = number("a number from 0 to 1", 0, 1), number("a number from 0", 0)
    rate = number(f"a number above 0, and at most {_FASTEST:g}", 0, _FASTEST, above=True)
    parser.add_argument("--shift", default=CLEAN, help=f"how the images change, `{LIST}` to see them; default: {CLEAN}")
    parser.add_argument("--mix", type=share, default=1.0, help="share of the images that do; default: all")
    parser.add_argument("--clean", type=whole, default=0, help="images that come before, as they are")
    parser.add_argument("--count", type=whole, help="images, these included; default: until Ctrl-C")
    parser.add_argument("--rate", type=rate, default=50.0, help="images a second; default: 50")
    parser.add_argument("--labels", type=share, default=0.0, help="share of the images whose label comes later")
    parser.add_argument("--delay", type=some, default=0.0, help="seconds from an answer to its label")
    parser.add_argument("--seed", type=whole, default=0, help="the same seed, the same images and labels")
    parser.add_argument("--stage", default="staging", help="whose service is asked; default: staging")
    parser.add_argument("--url", help="of another service; default: the stage's in params.yaml")
    return parser.parse_args()


def number(expected: str, least: float, most: float = math.inf, above: bool = False) -> Any:
    """What reads a number for argparse, and says what else was expected."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least <= value <= most and math.isfinite(value)) or (above and value == least):
            raise argparse.ArgumentTypeError(f"{expected}, found {text!r}")
        return value

    return read


def whole(text: str) -> int:
    """A number of images."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"a whole number from 0, found {text!r}")
    return int(text)


def address(stage: str) -> str:
    """Where the service of a stage answers, as params.yaml has it.

    Raises:
        TrialError: there is no such stage.
    """
    stages = load(DeliveryParams, "delivery").stages
    if stage not in stages:
        raise TrialError(f"stage {stage!r} is none of params.yaml's delivery.stages: {', '.join(stages)}")
    return stages[stage].url


def images(path: Path) -> Labelled:
    """What can be sent.

    Raises:
        PipelineError: the file is not there, or something else.
    """
    if not path.is_file():
        raise TrialError(f"{path}: not found; bring it with `dvc pull {path}`, or make it with `dvc repro evaluate`")
    return labelled(read_arrays(path, "images", "labels"), str(path))


def answering(url: str, stage: str | None) -> str:
    """The version that a service answers with.

    Args:
        url: where it is.
        stage: whose service it has to be, if that matters.

    Raises:
        TrialError: that is no address.
        ServiceError: nothing listens there, it is another stage's, or it has no model.
    """
    try:
        StageParams(url)
    except ValueError as error:
        raise TrialError(str(error)) from None
    answer = ready(url)
    if answer is None:
        start = f"start it with `make serve STAGE={stage}`" if stage else "start one there"
        raise ServiceError(f"{url}: no service answers; {start}, or name another with URL=http://...")
    if stage is not None and answer.get("stage") != stage:
        raise ServiceError(f"{url} is the service of stage {answer.get('stage')}, not of {stage}; name it with STAGE=")
    if not answer["ready"]:
        raise ServiceError(f"{url}: the service is not ready: {answer.get('reason')}")
    return str(answer.get("version"))


def check_token(url: str, token: str | None) -> None:
    """See whether labels are taken, before minutes later they are not.

    Raises:
        ServiceError: they are not.
    """
    connection = Connection(url, token)
    status, answer, _ = connection.ask("/v1/feedback", {"id": NOBODY, "label": 0})
    connection.close()
    if status in (401, 403):
        raise ServiceError(
            f"{url}: labels are refused ({answer['detail']}); set MNIST_ADMIN_TOKEN as the service has it"
        )


def plan(trial: Trial, rhythm: Rhythm) -> str:
    """What is going to be sent, in a line."""
    first = f"{trial.clean:,} images as they are, then " if trial.clean and trial.change != CLEAN else ""
    share = f" ({trial.share:.0%} of them)" if trial.share < 1 and trial.change != CLEAN else ""
    until = f"{rhythm.count:,} in all" if rhythm.count is not None else "until Ctrl-C"
    labels = f"; labels for {rhythm.labels:.0%}, after {rhythm.delay:g} s" if rhythm.labels else ""
    return f"{first}{trial.change}{share}, {rhythm.rate:g} a second, {until}{labels}"


def watch(sender: Sender, traffic: Traffic) -> None:
    """Show how far it is until it is done: in one line of a terminal, elsewhere in a line every ten seconds."""
    terminal = sys.stdout.isatty()
    rounds = 1
    while not sender.join(1.0 if terminal else 10.0) and not sender.error:
        again = "; no others are left, so they come again" if traffic.rounds > rounds else ""
        rounds = traffic.rounds
        print(f"{progress(sender)}{again}", end="\r" if terminal and not again else "\n", flush=True)
    if terminal:
        print()


def progress(sender: Sender) -> str:
    """How far it is."""
    tally = sender.tally
    refused = f", {tally.refused:,} refused ({tally.reason})" if tally.refused else ""
    behind = f", {sender.behind:.0f} s behind" if sender.behind >= 1 else ""
    return f"{tally.sent:,} sent, {tally.answered.total():,} answered, {tally.labels:,} labels{refused}{behind}"


def summary(tally: Tally, trial: Trial, seconds: float) -> str:
    """What came of it."""
    refused = f", {tally.refused:,} refused ({tally.reason})" if tally.refused else ""
    lines = [
        f"{tally.sent:,} sent in {seconds:.0f} s: {tally.answered.total():,} answered{refused}, {tally.labels:,} labels"
    ]
    for late, name in ((False, CLEAN), (True, trial.change)):
        if count := tally.answered[late]:
            lines.append(f"accuracy, {name}: {tally.right[late] / count:.2%} of {count:,}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
