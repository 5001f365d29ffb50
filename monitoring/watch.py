"""Watch one stage's traffic: judge what is new in its prediction log, and say what changed.

python -m monitoring.watch --stage staging [--every SECONDS]

Once, or again and again. What it knows is kept in logs/<stage>-monitoring.json, so it may be stopped at any time. The
log and the deployed versions are where the service has them, by the same environment variables.
"""

import argparse
import time
from pathlib import Path

from delivery.history import History
from delivery.schema import connect, now
from delivery.settings import DeliveryParams, ServiceSettings
from digits.errors import run
from digits.params import load
from monitoring import state
from monitoring.monitor import Monitor
from monitoring.references import References
from monitoring.settings import MonitoringParams
from monitoring.state import Judged

LOGS = Path("logs")


def main() -> None:
    """Look once, or for ever."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, help="one of params.yaml's delivery.stages")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="look again; default: look once")
    arguments = parser.parse_args()
    params, stage = load(MonitoringParams, "monitoring"), arguments.stage
    settings = ServiceSettings.from_environment(stage, load(DeliveryParams, "delivery"))
    engine, references = connect(settings.log_url), References(settings.deployments / stage)
    path = LOGS / f"{stage}-monitoring.json"
    monitor = Monitor(History(engine), stage, references, params, state.read(path))
    try:
        while True:
            known = monitor.state.windows
            alerts = monitor.look(now())
            state.write(path, monitor.state)
            for window in monitor.state.windows:
                if window not in known:
                    print(line(window))
            for alert in alerts:
                print(f"{'FIRING' if alert.firing else 'resolved'} {alert}{alert.why and f': {alert.why}'}", flush=True)
            if arguments.every is None:
                return
            time.sleep(arguments.every)
    except KeyboardInterrupt:
        print("stopped")
    finally:
        engine.dispose()


def line(window: Judged) -> str:
    """One window in a line."""
    levels = ", ".join(f"{detector} {level}" for detector, level in window.levels.items())
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(window.until / 1_000_000))
    return f"{at} UTC, {window.version}, {window.n} predictions: {levels}{window.note and f' ({window.note})'}"


if __name__ == "__main__":
    run(main)
