"""Export labelled predictions as a new version of data/production: `make export-feedback STAGE=production`.

python -m monitoring.feedback --stage STAGE [--since TIME] [--simulated] [--push]

Run it where the prediction log is. An export holds all labels that the log still has and that the guards let through,
and takes the place of the one before, which DVC keeps. With --push it is shared as a branch, and nothing here changes.
"""

import argparse
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from delivery.history import History, Window
from delivery.schema import SECOND, connect, reason
from delivery.settings import DeliveryParams, ServiceSettings
from digits import production
from digits.dataset import DataParams
from digits.errors import PipelineError, run
from digits.params import load
from monitoring import feedback_branch
from monitoring.export import Export, export
from monitoring.settings import MonitoringParams

FOLDER = Path("data/production")


class FeedbackError(PipelineError):
    """Labels can't be exported."""


def main() -> None:
    """Export, and say what was taken and what was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, help="one of params.yaml's delivery.stages")
    parser.add_argument(
        "--since", help="leave out labels that came before, for example 2026-11-01 or 2026-11-01T12:00 (UTC)"
    )
    parser.add_argument(
        "--simulated", action="store_true", help="with simulated traffic: a model that has seen test images"
    )
    parser.add_argument("--push", action="store_true", help=f"share it as a branch of {feedback_branch.REMOTE}")
    arguments = parser.parse_args()
    made = from_log(arguments.stage, arguments.since, simulated=arguments.simulated)
    print(made)
    if arguments.push:
        share(made)
    else:
        keep(made)


def from_log(stage: str, since: str | None, *, simulated: bool = False) -> Export:
    """Export what a stage's log has.

    Args:
        stage: one of params.yaml's.
        since: when the first label came, as ISO 8601 has it; None for all.
        simulated: take simulated traffic, too.

    Raises:
        PipelineError: the log can't be read, or an argument is wrong.
    """
    settings = ServiceSettings.from_environment(stage, load(DeliveryParams, "delivery"))
    params, dataset = load(MonitoringParams, "monitoring").feedback, load(DataParams, "data").dataset
    window = Window(since=None if since is None else moment(since), stage=stage)
    engine = connect(settings.log_url)
    try:
        return export(History(engine).labelled(window), params, dataset, simulated=simulated)
    except SQLAlchemyError as error:
        raise FeedbackError(f"the prediction log can't be read: {reason(error)}; mend that, then try again") from None
    finally:
        engine.dispose()


def moment(text: str) -> int:
    """Microseconds since 1970 of a time as ISO 8601 has it, in UTC unless it says otherwise.

    Raises:
        FeedbackError: it is none.
    """
    try:
        given = datetime.fromisoformat(text)
        return int((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()) * SECOND
    except (ValueError, OverflowError):
        raise FeedbackError(f"--since: expected a time like 2026-11-01 or 2026-11-01T12:00, found {text!r}") from None


def keep(made: Export) -> None:
    """Write an export into this workspace, and let DVC track it.

    Raises:
        FeedbackError: there is nothing in it, or DVC refuses.
    """
    refuse_empty(made)
    production.write(FOLDER, made.production, made.provenance)
    try:
        answer = subprocess.run(["dvc", "add", "--quiet", str(FOLDER)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise FeedbackError("dvc: not found; put the environment on the path: `source .venv/bin/activate`") from None
    if answer.returncode:
        raise FeedbackError(
            f"{FOLDER} is written, but DVC does not track it yet ({answer.stderr.strip()}); once that is mended: "
            f"dvc add {FOLDER}"
        )
    print(f"{FOLDER} is a new version; train with it: dvc repro. Back again: git checkout {FOLDER}.dvc && dvc checkout")


def share(made: Export) -> str | None:
    """Push an export as a branch, and return its name; None where main has that export already.

    Raises:
        PipelineError: it is not shared. Its text says what to do.
    """
    refuse_empty(made)
    branch = feedback_branch.push(FOLDER, made)
    if branch is None:
        print(f"{feedback_branch.BASE} has this version already: nothing to share")
    else:
        print(f"shared with {feedback_branch.REMOTE} as branch {branch}")
    return branch


def refuse_empty(made: Export) -> None:
    """Refuse an export without images to train on.

    Raises:
        FeedbackError: it has none.
    """
    if not len(made.production.train.labels):
        raise FeedbackError("there is nothing to train on: no label was taken, see above; nothing was changed")


if __name__ == "__main__":
    run(main)
