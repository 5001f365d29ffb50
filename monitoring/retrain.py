"""Start a retraining if one is due: `make retrain STAGE=production`, `make retrain STAGE=production DISPATCH=1`.

python -m monitoring.retrain --stage production [--dispatch] [--force REASON] [--every SECONDS]

Reads what the monitor knows (logs/<stage>-monitoring.json) and says what is due and why, or why not: see
monitoring/due.py. With --dispatch, it exports the labelled data to a branch and starts .github/workflows/retrain.yml
with it, through `gh`. What was started is kept in logs/<stage>-retraining.json, so the same alert starts nothing a
second time; what came of it is asked of GitHub, and said here, on the dashboard and in /metrics.
"""

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import sleep

import numpy as np

from delivery import git
from delivery.history import History, Window
from delivery.printable import one_line
from delivery.schema import connect, now
from delivery.settings import DeliveryParams, ServiceSettings
from digits.errors import PipelineError, run
from digits.params import load
from monitoring import dispatches, feedback, feedback_branch, github, state
from monitoring.alerts import Alert
from monitoring.dispatches import Dispatch, Dispatches
from monitoring.due import Decision, Key, due
from monitoring.sending import SOURCE as SIMULATED
from monitoring.settings import MonitoringParams
from monitoring.streams import of_sources

EVENT = "retrain"  # as .github/workflows/retrain.yml calls it


class RetrainError(PipelineError):
    """A retraining could not be started."""


def main() -> None:
    """Decide once, or again and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, help="one of params.yaml's delivery.stages")
    parser.add_argument("--dispatch", action="store_true", help="start what is due; default: only say it")
    parser.add_argument("--force", metavar="REASON", help="start one whatever the alerts say")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="look again; default: look once")
    arguments = parser.parse_args()
    if arguments.force is not None and not one_line(arguments.force):
        parser.error("--force: say why, for whoever reads the pull request later")
    if arguments.force is not None and arguments.every is not None:
        parser.error("--force: once is enough; leave out --every")
    params, stage = load(MonitoringParams, "monitoring"), arguments.stage
    settings = ServiceSettings.from_environment(stage, load(DeliveryParams, "delivery"))
    path, engine = dispatches.path(stage), connect(settings.log_url)
    history = History(engine)
    try:
        if arguments.every is None:
            with dispatches.alone(path):
                look(history, stage, params, path, send=arguments.dispatch, force=arguments.force)
        else:
            again_and_again(arguments.every, path, lambda: look(history, stage, params, path, send=arguments.dispatch))
    finally:
        engine.dispose()


def again_and_again(every: float, path: Path, once: Callable[[], None]) -> None:
    """Look until somebody presses Ctrl-C, and note it, so that others see it when nobody looks any more.

    Args:
        every: seconds from one look to the next.
        path: of the file that keeps what was started, where it is noted.
        once: looks; what it raises is said, for the next look may find it mended.
    """
    try:
        while True:
            try:
                with dispatches.alone(path):
                    words = ""
                    try:
                        once()
                    except PipelineError as error:  # of a host that is away for a while, for example
                        words = str(error)
                        print(f"error: {words}", flush=True)
                    noted = dataclasses.replace(dispatches.read(path), looked=now(), every=every, error=words)
                    dispatches.write(path, noted)
            except PipelineError as error:
                print(f"error: {error}", flush=True)
            sleep(every)
    except KeyboardInterrupt:
        with contextlib.suppress(PipelineError), dispatches.alone(path):
            dispatches.write(path, dataclasses.replace(dispatches.read(path), every=None, error=""))
        print("stopped")


def look(
    history: History, stage: str, params: MonitoringParams, path: Path, *, send: bool, force: str | None = None
) -> None:
    """Ask what came of what was started, decide, say so, and start what is due.

    Args:
        history: of the stage's log.
        stage: whose alerts.
        params: section `monitoring`.
        path: of the file that keeps what was started.
        send: start it.
        force: why to start one whatever the alerts say.

    Raises:
        PipelineError: it could not be started. The next look tries again.
    """
    known = dispatches.read(path)
    alerts = state.read(state.path(stage)).alerts.alerts
    newest = {known.of(Key.of(alert)) for alert in alerts if alert.firing}
    for dispatch in known.dispatches:
        if dispatch.sent and (not dispatch.over or (dispatch.failed and dispatch in newest)):  # one can be run again
            known = known.with_(github.asked(dispatch, now(), params.retraining.lost_hours))
            dispatches.write(path, known)

    def wrong(alert: Alert) -> np.ndarray:
        return since(history, stage, alert, params.label_sources)

    first = first_label(history, stage, known.last_counting)
    decision = due(
        alerts,
        wrong,
        params,
        answered=known.answered,
        last=known.last,
        now=now(),
        unused=first if known.last_counting is None or first is None else known.last_counting,
    )
    for line in said(decision, alerts, known):
        print(one_line(line), flush=True)
    if force is None and not decision.due:
        print(f"no retraining: {decision.waits or 'no alert asks for one'}", flush=True)
        return
    reason = one_line(force if force is not None else decision.reason, 500)
    print(f"retraining is due: {reason}", flush=True)
    if send:
        print(begin(known, path, decision, reason, stage), flush=True)


def since(history: History, stage: str, alert: Alert, sources: Sequence[str] | None) -> np.ndarray:
    """Which labelled predictions that an alert's version made since the alert are wrong, by when the labels came.

    Counted are the labels that count for alerts. Those of simulated traffic never do, as in the export: what it shows
    is not what would be trained on.
    """
    wrong = [np.zeros(0, bool)]
    for labelled in history.labelled(Window(since=alert.since, version=alert.version, stage=stage)):
        rows = of_sources(labelled, sources)
        # The label came since then, but the prediction may be older.
        taken = (rows.times > alert.since) & (np.array(rows.sources) != SIMULATED)
        wrong.append((rows.truths != rows.labels)[taken])
    return np.concatenate(wrong)


def first_label(history: History, stage: str, after: int | None) -> int | None:
    """When the first label came after a time that an export would look at; None where there is none."""
    for rows in history.labelled(Window(since=None if after is None else after + 1, stage=stage)):
        if len(taken := rows.truth_times[np.array(rows.sources) != SIMULATED]):
            return int(taken[0])
    return None


def said(decision: Decision, alerts: tuple[Alert, ...], known: Dispatches) -> list[str]:
    """What to say of each alert that fires: what was found or, where a retraining was started, what came of that."""
    firing = [(alert, known.of(Key.of(alert))) for alert in alerts if alert.firing]
    return [*(f"{alert}: {dispatch}" for alert, dispatch in firing if dispatch), *decision.found]


def begin(known: Dispatches, path: Path, decision: Decision, reason: str, stage: str) -> Dispatch:
    """Export the labelled data, start the workflow with it, and remember both.

    Raises:
        PipelineError: one of them failed. A branch that was pushed is used by the next try, unless it is outdated.
    """
    keys = tuple(map(Key.of, decision.alerts))
    dispatch = known.waiting(keys)
    if dispatch is None or feedback_branch.outdated(dispatch.branch):
        branch, commit = export(stage)
        dispatch = Dispatch(keys, reason, now(), branch, commit)
        known = known.with_(dispatch)
        dispatches.write(path, known)  # before the workflow is started: what is pushed need not be pushed again
    numbers = " ".join(str(key.number) for key in keys)
    payload = {"branch": dispatch.branch, "reason": reason, "alert": numbers, "stage": stage}
    body = json.dumps({"event_type": EVENT, "client_payload": payload})
    github.gh("--method", "POST", "repos/{owner}/{repo}/dispatches", "--input", "-", given=body)
    sent = dataclasses.replace(dispatch, alerts=keys, reason=reason, time=now(), sent=True, outcome="", text="")
    dispatches.write(path, known.with_(sent))
    return sent


def export(stage: str) -> tuple[str, str]:
    """Push the labelled data of a stage: its branch, and that branch's commit.

    Raises:
        PipelineError: there is nothing new to train on, or it can't be shared.
    """
    branch = feedback.share(feedback.from_log(stage, None))
    if branch is None:
        raise RetrainError("there is nothing new to train on; once more labels have come, the next look tries again")
    commit, _, _ = git.git(".", "ls-remote", feedback_branch.REMOTE, f"refs/heads/{branch}").partition("\t")
    return branch, commit


if __name__ == "__main__":
    run(main)
