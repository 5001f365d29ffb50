"""Export labelled predictions as a new version of data/production: `make export-feedback STAGE=production`.

python -m monitoring.feedback --stage STAGE [--since TIME] [--simulated] [--alone] [--push]

Run it where the prediction log is. An export holds all labels that the log still has and that the guards let through,
and of the export before (with --push that of origin's main) what the log has no more; of neither what came before
--since. It takes the place of that one, which DVC keeps. With --push it is shared as a branch; nothing here changes.
"""

import argparse
import dataclasses
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from delivery.history import History, Window
from delivery.schema import SECOND, connect, reason
from delivery.settings import DeliveryParams, ServiceSettings
from digits.dataset import DataParams
from digits.errors import PipelineError, run
from digits.params import load
from monitoring import earlier, feedback_branch
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
    parser.add_argument("--alone", action="store_true", help="nothing of the export before: all of it leaves")
    parser.add_argument("--push", action="store_true", help=f"share it as a branch of {feedback_branch.REMOTE}")
    arguments = parser.parse_args()
    made = from_log(arguments.stage, arguments.since, simulated=arguments.simulated)
    if arguments.push:
        share(made, alone=arguments.alone)
    else:
        keep(made, alone=arguments.alone)


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
        made = export(History(engine).labelled(window), params, dataset, simulated=simulated)
        return dataclasses.replace(made, provenance={"stage": stage} | made.provenance, since=window.since or 0)
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


def keep(made: Export, *, alone: bool = False) -> None:
    """Write an export into this workspace, and let DVC track it.

    Args:
        made: of the log.
        alone: keep nothing of the export that is there.

    Raises:
        PipelineError: there is nothing in it, or what is there can't be kept, or DVC refuses.
    """
    refuse_empty(made)
    if not alone:
        if not FOLDER.exists() and Path(f"{FOLDER}.dvc").exists():
            dvc("pull", "what was exported before is not here, and does not come")
        made = together(made, FOLDER)
    print(made)
    earlier.write(FOLDER, made)
    dvc("add", f"{FOLDER} is written, but DVC does not track it yet")
    print(f"{FOLDER} is a new version; train with it: dvc repro. Back again: git checkout {FOLDER}.dvc && dvc checkout")


def dvc(command: str, failed: str) -> None:
    """Run a command of DVC's about the folder.

    Raises:
        FeedbackError: it failed; in these words.
    """
    try:
        answer = subprocess.run(["dvc", command, "--quiet", str(FOLDER)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise FeedbackError("dvc: not found; put the environment on the path: `source .venv/bin/activate`") from None
    if answer.returncode:
        raise FeedbackError(f"{failed} ({answer.stderr.strip()}); once that is mended: dvc {command} {FOLDER}")


def together(made: Export, folder: Path) -> Export:
    """An export with what is kept of the one in `folder`, if there is one.

    Raises:
        PipelineError: they don't go together.
    """
    params = load(MonitoringParams, "monitoring").feedback
    return earlier.keep(made, folder, params) if folder.exists() else made


def share(made: Export, *, alone: bool = False) -> str | None:
    """Push an export as a branch, and return its name; None where main has that export already.

    Args:
        made: of the log.
        alone: keep nothing of the export that main has.

    Raises:
        PipelineError: it is not shared. Its text says what to do.
    """
    refuse_empty(made)

    def whole(folder: Path) -> Export:
        found = made if alone else together(made, folder)
        print(found, flush=True)
        return found

    branch = feedback_branch.push(FOLDER, whole)
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
        print(made)
        raise FeedbackError("there is nothing to train on: no label was taken, see above; nothing was changed")


if __name__ == "__main__":
    run(main)
