"""The dashboard of a running service: a page, and the figures that it asks for again and again.

The page itself tells nothing. The figures show what users sent, so they are for those who may label and reload: who has
the token or, where none is configured, who is on this machine.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pydantic
import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException, Response

from delivery.history import History
from delivery.pages import add_pages
from delivery.schema import now, reason
from delivery.service import Service
from digits.errors import PipelineError
from monitoring.figures import Figures
from monitoring.gathering import Sources, gather
from monitoring.latency import Latency
from monitoring.references import References
from monitoring.settings import MonitoringParams
from monitoring.spans import SPANS
from monitoring.state import State
from monitoring.watcher import Watcher

PAGE = Path(__file__).parent / "page"

SCRIPTS = (
    "words.js",
    "elements.js",
    "charts.js",
    "parts.js",
    "operation.js",
    "evidence.js",
    "classes.js",
    "totals.js",
    "pictures.js",
    "view.js",
)  # each imports only what stands before it
LIVE, SAVED = "live.js", "saved.js"
# Figures are gathered anew when they are older than this, and than so many times what it took to gather them.
_FRESH_SECONDS, _SHARE = 2.0, 20

_FIGURES = pydantic.TypeAdapter(Figures)


def as_json(figures: Figures) -> bytes:
    """What the page reads."""
    return _FIGURES.dump_json(figures)


class Cache:
    """Figures by span, gathered by one thread at a time, and for no more than a twentieth of it.

    Args:
        gathered: gathers the figures of a span.
        clock: seconds.
    """

    def __init__(self, gathered: Callable[[str], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._gathered, self._clock = gathered, clock
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._gathering = threading.Lock()

    def __call__(self, span: str) -> bytes:
        """The figures of a span, some seconds old perhaps; while others gather newer ones, those that are there."""
        if not self._gathering.acquire(blocking=span not in self._kept):
            return self._kept[span][1]
        try:
            until, figures = self._kept.get(span, (0.0, b""))
            begun = self._clock()
            if not figures or begun >= until:
                figures = self._gathered(span)
                took = self._clock() - begun
                self._kept[span] = (begun + took + max(_FRESH_SECONDS, _SHARE * took), figures)
            return figures
        finally:
            self._gathering.release()


def add_dashboard(app: FastAPI, watched: Watcher, params: MonitoringParams, latency: Latency) -> None:
    """Give a service its dashboard, at `/dashboard`.

    Args:
        app: made by `create_app`.
        watched: who looks at the log.
        params: section `monitoring`.
        latency: what is known of the service's answers.
    """
    service: Service = app.state.service
    stage = service.settings.stage
    references = References(service.settings.deployments / stage)

    def gathered(span: str) -> bytes:
        try:
            state, error = watched.state, watched.error
        except PipelineError as damaged:
            state, error = State(), str(damaged)
        history = History(service.log.engine)
        sources = Sources(history, stage, references, params, state, error, True, latency.measured)
        return as_json(gather(sources, span, now()))

    cache = Cache(gathered)

    @app.get("/dashboard.json", dependencies=[Depends(service.authorise)], include_in_schema=False)
    def figures(span: str = "1h") -> Response:
        if span not in SPANS:
            raise HTTPException(422, f"span: expected one of {', '.join(SPANS)}")
        try:
            return Response(cache(span), media_type="application/json", headers={"cache-control": "no-store"})
        except sa.exc.SQLAlchemyError as error:
            raise HTTPException(503, f"the prediction log can't be read: {reason(error)}") from None
        except PipelineError as error:
            raise HTTPException(503, str(error)) from None

    scripts = {f"/dashboard/{name}": (PAGE / name, "text/javascript") for name in (*SCRIPTS, LIVE)}
    styles = {"/dashboard/dashboard.css": (PAGE / "dashboard.css", "text/css")}
    add_pages(app, {"/dashboard": (PAGE / "dashboard.html", "text/html"), **styles, **scripts})
