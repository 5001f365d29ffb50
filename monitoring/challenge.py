"""Compare champion and challenger, to know whether a model that was trained on production data may be proposed.

python -m monitoring.challenge keep --stage production
python -m monitoring.challenge compare [--base REVISION] [--alert NUMBERS] [--reason TEXT] [--branch BRANCH]
    [--report FILE] --out FILE

`keep`, before `dvc repro`, puts the champion aside: the model of the version that the tags assign to the stage, or,
where there is none, that of the commit. `compare`, after it, asks both about the original test images and about the
production images that were held out. Not proposed: worse on either; fewer than `monitoring.retraining.held_out`
production images to tell by; a limit of the check violated. Worse is by more than `margin`. Of held-out images, which
may be few, so much can be chance: there McNemar's test, one-sided, has to say that it is not, or the loss to reach
`largest_loss`. Prints `proposed=` and `summary=`, for a workflow.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from delivery import artifact, git, registry
from delivery.settings import DeliveryParams
from digits import production
from digits.dataset import labelled
from digits.errors import PipelineError, run
from digits.onnx_model import OnnxModel
from digits.params import load
from digits.scoring import Interval, wilson_interval
from digits.significance import Paired, loss_test, mcnemar
from digits.storage import read_arrays, read_json, write_json, write_text
from monitoring.settings import MonitoringParams, RetrainingParams
from reporting.markdown import Detail, assemble, code, figure, table
from reporting.revisions import flat

CHAMPION = Path("champion")  # not tracked by Git
MODEL = Path("models/model.onnx")
TEST = Path("data/prepared/test.npz")
DATA = Path("data/production")
VERDICT = Path("results/check/verdict.json")
TESTED, HELD_OUT = "original test images", "production images held out"
TRACKED = ("dvc.lock", "data/production.dvc")


class ChallengeError(PipelineError):
    """One of the two models, or what they are to be asked about, is not there."""


class Duel(NamedTuple):
    """Both models on the same images."""

    name: str
    images: int
    champion: int  # right
    challenger: int
    paired: Paired
    chance: float  # probability that equally good models lose at least so much
    worse: bool

    @property
    def points(self) -> float:
        """What the challenger gains, in accuracy points."""
        return 100 * (self.challenger - self.champion) / self.images

    def __str__(self) -> str:
        shares = [100 * right / self.images for right in (self.champion, self.challenger)]
        counts = f"{self.paired.gained:,} gained, {self.paired.lost:,} lost"
        return f"{shares[0]:.2f} to {shares[1]:.2f} % ({counts}) on {self.name}"


def main() -> None:
    """Keep the champion, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    kept = commands.add_parser("keep")
    kept.add_argument("--stage", required=True, help="whose version is the champion")
    compared = commands.add_parser("compare")
    for name, what in (("alert", "numbers of the alerts"), ("reason", "why"), ("branch", "where the data is from")):
        compared.add_argument(f"--{name}", default="", help=f"for the reader: {what}")
    compared.add_argument("--base", default="HEAD", help="revision that has what is known already")
    compared.add_argument("--report", type=Path, help="Markdown that is to follow")
    compared.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "keep":
        keep(arguments.stage, load(DeliveryParams, "delivery"))
    else:
        asked = {"alert": arguments.alert, "reason": arguments.reason, "data": arguments.branch}
        params = load(MonitoringParams, "monitoring").retraining
        compare(arguments.base, asked, arguments.report, arguments.out, params)


def keep(stage: str, settings: DeliveryParams) -> None:
    """Put the champion aside.

    Raises:
        PipelineError: it is not to be had, or there is no such stage.
    """
    if stage not in settings.stages:
        known = ", ".join(settings.stages)
        raise ChallengeError(f"stage {stage[:100]!r} is none of params.yaml's delivery.stages: {known}")
    version = registry.read(".", settings.artifact).current(stage)
    if version is not None:
        artifact.fetch(".", version.tag, CHAMPION, [str(MODEL)])
        name = f"{version.name}, as in {stage}"
    elif MODEL.is_file():
        CHAMPION.mkdir(exist_ok=True)
        shutil.copyfile(MODEL, CHAMPION / MODEL.name)
        name = f"commit {git.git('.', 'rev-parse', '--short', 'HEAD').strip()}, for {stage} is empty"
    else:
        raise ChallengeError(f"{stage} is empty and {MODEL} is not there: run `dvc pull`, or `dvc repro`, first")
    write_json(CHAMPION / "name.json", name)
    print(f"champion: {name}")


def compare(base: str, asked: dict[str, str], report: Path | None, out: Path, params: RetrainingParams) -> None:
    """Let both models answer, write what came of it as Markdown, and print the verdict.

    Args:
        base: where nothing differs from this revision, there is nothing to propose.
        asked: what the reader should know of how this came about; nobody vouches for it.
        report: Markdown to append as far as there is room.
        out: the file.
        params: section `monitoring.retraining`.

    Raises:
        PipelineError: a file is missing or something else.
    """
    name = str(read_json(CHAMPION / "name.json"))
    models = [OnnxModel(path, threads=2) for path in (CHAMPION / MODEL.name, MODEL)]
    test = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    duels = []
    for title, data in ((TESTED, test), (HELD_OUT, production.read(DATA).holdout)):
        if len(data.labels):
            before, after = (model.probabilities(data.images).argmax(1) == data.labels for model in models)
            duels.append(duel(title, before, after, params))
    same = not git.git(".", "diff", "--name-only", base, "--", *TRACKED).strip()
    proposed, summary = verdict(duels, violated(), params.held_out, same=same)
    text = markdown(name, duels, asked, proposed=proposed, summary=summary)
    rest = report.read_text(encoding="utf-8") if report else ""
    write_text(out, together(text, rest))
    print(f"proposed={str(proposed).lower()}\nsummary={summary}")


def duel(name: str, champion: np.ndarray, challenger: np.ndarray, params: RetrainingParams) -> Duel:
    """Compare by which images each has right, both bool (N,), N > 0."""
    paired = mcnemar(champion, challenger)
    loss = 100 * (paired.lost - paired.gained) / len(champion)
    chance = loss_test(paired.lost, paired.gained)
    worse = loss > params.margin
    if name == HELD_OUT:  # of few images chance explains much, and what it may explain is bounded, too
        worse = worse and (chance < params.significance or loss >= params.largest_loss)
    return Duel(name, len(champion), int(champion.sum()), int(challenger.sum()), paired, chance, worse)


def violated() -> list[str]:
    """Metrics whose limits the challenger violates.

    Raises:
        ChallengeError: the check has left no verdict.
    """
    try:
        content = read_json(VERDICT)
        names = [str(limit["metric"]) for limit in content["limits"] if limit["passed"] is not True]
        return names or ([] if content["passed"] is True else ["unknown"])
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise ChallengeError(f"{VERDICT}: no verdict that can be read ({error}); run `dvc repro`") from None


def verdict(duels: list[Duel], limits: list[str], held_out: int, *, same: bool) -> tuple[bool, str]:
    """Whether to propose the challenger, and why (not), in at most 140 characters, which a commit's status holds.

    Args:
        duels: on each set of images that there is.
        limits: that the challenger violates.
        held_out: smallest number of held-out production images to tell by.
        same: it is the champion, trained on the same data.
    """
    if same:
        return False, "nothing new: the data is that of main, and so is the model"
    if limits:
        return False, f"limits violated: {', '.join(limits)}"[:140]
    if worse := [one for one in duels if one.worse]:
        return False, f"worse: {', '.join(map(str, worse))}"[:140]
    if (count := sum(one.images for one in duels if one.name == HELD_OUT)) < held_out:
        return False, f"only {count} production images are held out, at least {held_out} are needed to tell"
    # What was lost and gained, and no more: that a model is no worse, so few images do not show.
    return True, ", ".join(map(str, duels))[:140]


def markdown(champion: str, duels: list[Duel], asked: dict[str, str], *, proposed: bool, summary: str) -> str:
    """The comparison for whoever reviews it."""
    title = "✅ Retrained on production data" if proposed else "❌ Not proposed"
    if proposed and any(one.points < 0 for one in duels):
        title += ", not shown to be worse"
    lines = [
        f"## {title}: {summary}",
        "\n".join(f"- {key}: {code(value, 500)}" for key, value in asked.items() if value),
    ]
    rows = []
    for one in duels:
        shares = [_share(right, one.images) for right in (one.champion, one.challenger)]
        chance = f"{one.chance:.2g}{', worse' if one.worse else ''}"
        counts = [f"{one.paired.gained:,}", f"{one.paired.lost:,}"]
        rows.append([f"{one.images:,} {one.name}", *shares, f"{one.points:+.2f}", *counts, chance])
    header = ["images", "champion", "challenger", "points", "newly right", "newly wrong", "p, one-sided"]
    lines.append(table(header, rows))
    words = f"Champion: {code(champion)}. Accuracy with its 95 % interval; p of such a loss by chance (McNemar, exact)."
    if not any(one.name == HELD_OUT for one in duels):
        words += " **No production images were held out: of those, nothing is known.**"
    return "\n\n".join(filter(None, [*lines, words])) + "\n"


def together(text: str, report: str) -> str:
    """The comparison, where its data is from, and the report, of which the folded parts may find no room."""
    folded = [Detail("Where the production data is from", provenance())]
    for rest in (report, report.partition("<details>")[0]):
        whole = assemble(text, folded, rest)
        if rest in whole:
            return whole
    return assemble(text, folded, "")


def provenance() -> str:
    """What the export says of its data, as a table; nobody vouches for it."""
    try:
        content = json.loads((DATA / production.PROVENANCE).read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        return "Nothing is known."
    entries: dict[str, Any] = flat(content)
    return table(["what", "value"], [[code(key), figure(value)] for key, value in entries.items()])


def _share(right: int, images: int) -> str:
    interval: Interval = wilson_interval(right, images)
    return f"{100 * right / images:.2f} % ({100 * interval.low:.2f} to {100 * interval.high:.2f})"


if __name__ == "__main__":
    run(main)
