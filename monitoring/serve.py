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
from monitoring import state
from monitoring.exposition import MonitorCollector
from monitoring.settings import MonitoringParams
from monitoring.watcher import Watcher


def main() -> None:
    """Serve and watch until SIGTERM or Ctrl-C."""
    serve.main(beside)


@contextmanager
def beside(app: FastAPI, settings: ServiceSettings) -> Iterator[Watcher]:
    """Watch as long as the service serves."""
    params = load(MonitoringParams, "monitoring")
    with Watcher(settings.stage, state.path(settings.stage), params.look_seconds) as watcher:
        app.state.service.metrics.register(MonitorCollector(watcher, params))
        yield watcher


if __name__ == "__main__":
    run(main)
