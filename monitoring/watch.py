"""Watch one stage's traffic: judge what is new in its prediction log, and say what changed.

python -m monitoring.watch --stage staging [--every SECONDS]

Once, or again and again; beside a service `python -m monitoring.serve` does it. What it knows is kept in
logs/<stage>-monitoring.json, so it may be stopped at any time. The log and the deployed versions are where the service
has them, by the same environment variables.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from delivery.history import History
from delivery.schema import LogError, connect, now, reason
from delivery.settings import DeliveryParams, ServiceSettings
from digits.errors import PipelineError, run
from digits.params import load
from monitoring import kept, state
from monitoring.monitor import Monitor
from monitoring.references import References
from monitoring.settings import MonitoringParams
from monitoring.state import Judged

_WAITING = 1.0  # seconds from one try to become the one who watches to the next


class WatchedError(PipelineError):
    """Another process watches this stage, or not all of it can be judged."""


def main() -> None:
    """Look once, or for ever."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, help="one of params.yaml's delivery.stages")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="look again; default: look once")
    parser.add_argument("--beside-service", action="store_true", help="end with the process that started this one")
    arguments = parser.parse_args()
    params = load(MonitoringParams, "monitoring")
    settings = ServiceSettings.from_environment(arguments.stage, load(DeliveryParams, "delivery"))
    path, service = state.path(settings.stage), os.getppid() if arguments.beside_service else None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # in order, too: the last one leaves SQLite's log tidy
    with contextlib.suppress(KeyboardInterrupt), only_one(path, service), begin(settings, params) as monitor:
        while True:
            look(monitor, path, again=arguments.every is not None)
            if arguments.every is None:
                return
            time.sleep(arguments.every)
            if service not in (None, os.getppid()):
                return
    print("stopped")


@contextlib.contextmanager
def only_one(path: Path, service: int | None = None) -> Iterator[None]:
    """Let no other process write a state at the same time: each would forget what the other saw.

    Args:
        path: of the state.
        service: process beside which this one runs. Of two services of a stage one is watched from, and the other takes
            over when that one ends.

    Raises:
        WatchedError: another process watches; without `service`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as stream:
        while not kept.try_lock(stream):
            if service is None:
                raise WatchedError(
                    f"{path}: another process watches this stage already, a service perhaps; end that one first"
                )
            time.sleep(_WAITING)
            if os.getppid() != service:
                sys.exit()
        yield


@contextlib.contextmanager
def begin(settings: ServiceSettings, params: MonitoringParams) -> Iterator[Monitor]:
    """A monitor that goes on from the state that was left.

    Raises:
        LogError: the log can't be opened.
        StateError: what was left is no state.
    """
    engine, references = connect(settings.log_url), References(settings.deployments / settings.stage)
    try:
        yield Monitor(History(engine), settings.stage, references, params, state.read(state.path(settings.stage)))
    finally:
        engine.dispose()


def look(monitor: Monitor, path: Path, again: bool) -> None:
    """Look once, keep what was found, and print what is new.

    Args:
        monitor: whose log is read.
        path: of its state.
        again: whether there will be another look: then a log that can't be read now is told and kept in the state, and
            what was known before stays. So is a damaged reference, and versions with sound ones are judged.

    Raises:
        PipelineError: the log can't be read, or a reference is damaged; only if not `again`.
    """
    before = monitor.state
    try:
        alerts = monitor.look(now())
        monitor.state = dataclasses.replace(monitor.state, looked=now(), error=monitor.trouble)
    except (SQLAlchemyError, PipelineError) as error:
        failure = error if isinstance(error, PipelineError) else LogError(f"the log can't be read: {reason(error)}")
        if not again:
            raise failure from None
        monitor.state, alerts = dataclasses.replace(before, looked=now(), error=str(failure)), []
    state.write(path, monitor.state)
    for window in monitor.state.windows:
        if window not in before.windows:
            print(line(window))
    for alert in alerts:
        print(f"{'FIRING' if alert.firing else 'resolved'} {alert}{alert.why and f': {alert.why}'}")
    if monitor.state.error and not again:
        raise WatchedError(monitor.state.error)
    if monitor.state.error not in ("", before.error):  # once, not at every look
        print(f"error: {monitor.state.error}")
    # Whoever reads it through a pipe is to see it now.
    print(end="", flush=True)


def line(window: Judged) -> str:
    """One window in a line."""
    levels = ", ".join(f"{detector} {level}" for detector, level in window.levels.items())
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(window.until / 1_000_000))
    return f"{at} UTC, {window.version}, {window.n} predictions: {levels}{window.note and f' ({window.note})'}"


if __name__ == "__main__":
    run(main)
