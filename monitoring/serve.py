"""Serve a stage's version over HTTP, with the monitor beside it.

python -m monitoring.serve [--stage production] [--port 8000]    (make serve STAGE=production)

The same as `python -m delivery.serve`, and what makes its traffic's state known.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from delivery import serve
from delivery.settings import ServiceSettings
from digits.errors import run
from digits.params import load
from monitoring import dispatches, served, state
from monitoring.dashboard import add_dashboard
from monitoring.exposition import MonitorCollector
from monitoring.latency import Latency
from monitoring.retraining_metrics import RetrainingCollector
from monitoring.settings import MonitoringParams
from monitoring.watcher import Watcher


def main() -> None:
    """Serve and watch until SIGTERM or Ctrl-C."""
    serve.main(beside)


@contextmanager
def beside(app: FastAPI, settings: ServiceSettings) -> Iterator[Watcher]:
    """Watch as long as the service serves, and tell and show what is found."""
    params, metrics = load(MonitoringParams, "monitoring"), app.state.service.metrics
    latency = Latency(lambda: metrics.answered("/v1/predict"), served.path(settings.stage))
    with Watcher(settings.stage, state.path(settings.stage), params.look_seconds) as watcher, latency:
        metrics.register(MonitorCollector(watcher, params))
        metrics.register(RetrainingCollector(watcher, dispatches.path(settings.stage)))
        add_dashboard(app, watcher, params, latency)
        yield watcher


if __name__ == "__main__":
    run(main)
