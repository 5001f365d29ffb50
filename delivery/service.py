"""The web service: predictions, feedback, readiness and metrics over HTTP.

`create_app` puts together what the other modules do: `requests` reads what clients send, `contract` has its forms,
`problems` answers what went wrong, and `pages` are for people.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Scope

from delivery.batching import Batcher
from delivery.contract import (
    FeedbackAnswer,
    FeedbackRequest,
    Prediction,
    Predictions,
    Readiness,
    Reloaded,
    as_rows,
)
from delivery.log import Feedback, PredictionLog
from delivery.metrics import Metrics
from delivery.pages import add_pages
from delivery.problems import add_handlers, problems
from delivery.protection import RETRY_AFTER, Limits, Load, Protection
from delivery.requests import JSON, Reader, media_type
from delivery.retention import Retention
from delivery.settings import DeliveryParams, ServiceSettings, is_loopback
from delivery.slot import Slot, Source
from digits.errors import PipelineError

_PREDICT = "/v1/predict"
# What proxies add. Behind one on this machine everybody seems to be on this machine.
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


class Service:
    """What the routes share."""

    log: PredictionLog
    retention: Retention
    batcher: Batcher

    def __init__(self, params: DeliveryParams, settings: ServiceSettings, source: Source) -> None:
        self.params, self.settings, self.source = params, settings, source
        self.slot, self.metrics, self.load = Slot(), Metrics(), Load()
        self.reader = Reader(params)
        # One at a time, as the log writes them, so that labels that wait for it take no thread each.
        self.labels = ThreadPoolExecutor(1, "labels")
        self._reloading = asyncio.Lock()

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Open the log and load the model; at the end answer what waits and close the log."""
        params, settings = self.params, self.settings
        self.log = PredictionLog(settings.log_url, settings.stage, params.log_power_safe)
        self.retention = Retention(self.log, params.retention_days, params.log_max_bytes)
        self.batcher = Batcher(self.slot, self.log, self.metrics.batch)
        self._measure()
        try:
            await self.reload()
        except (PipelineError, OSError) as error:  # readiness says why, and a later reload may succeed
            self.slot.reason = str(error)
        self.retention.start()
        yield
        await self.batcher.close()
        await asyncio.to_thread(self.retention.close)
        self.reader.close()
        self.labels.shutdown()
        self.log.close()

    async def reload(self) -> Reloaded:
        """Load what the stage deploys, and let it answer; whatever fails, the version before goes on."""
        async with self._reloading:
            loaded = await asyncio.to_thread(self.source.load, self.params.smoke_accuracy)
            await self.slot.switch(loaded)
            self.metrics.model(self.settings.stage, loaded.version)
        return Reloaded(version=loaded.version, commit=loaded.commit)

    def finished(self, scope: Scope) -> None:
        """A request has been answered, or given up."""
        if "waiting" in scope:
            self.batcher.done(scope["waiting"])

    async def authorise(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    ) -> None:
        """Let through who has the token or, where none is configured, who is on this machine."""
        token = self.settings.admin_token
        if token is None:
            # The name that was asked for, too: a page elsewhere can have its own name resolve to this machine, and
            # what it asks of another name it asks in its own.
            here = request.client and is_loopback(request.client.host) and is_loopback(request.url.hostname or "")
            origin = request.headers.get("origin")
            forwarded = any(name in request.headers for name in _FORWARDED)
            if here and not forwarded and (origin is None or urlsplit(origin).netloc == request.headers.get("host")):
                return
            raise HTTPException(403, "only from this machine, or set MNIST_ADMIN_TOKEN")
        if credentials is None or not hmac.compare_digest(credentials.credentials.encode(), token.encode()):
            raise HTTPException(401, "the token is missing or wrong", {"www-authenticate": "Bearer"})

    def _measure(self) -> None:
        self.metrics.measure("mnist_waiting_requests", "Requests under way", lambda: self.load.requests)
        self.metrics.measure("mnist_waiting_bytes", "Bytes of their bodies that have arrived", lambda: self.load.bytes)
        self.metrics.measure(
            "mnist_queue_requests", "Requests that no batch has taken yet", lambda: self.batcher.waiting
        )
        self.metrics.measure(
            "mnist_log_bytes", "What the prediction log takes on the disk", lambda: self.retention.bytes
        )
        self.metrics.measure(
            "mnist_log_max_bytes",
            "Beyond it the oldest predictions are removed (delivery.log_max_bytes)",
            lambda: self.params.log_max_bytes,
        )


def create_app(params: DeliveryParams, settings: ServiceSettings, source: Source) -> FastAPI:
    """The application that uvicorn runs.

    Args:
        params: section `delivery` of params.yaml.
        settings: of this process.
        source: where the model lies.
    """
    service = Service(params, settings, source)
    app = FastAPI(
        title="MNIST",
        description="Reads handwritten digits. Every prediction is logged before it is answered.",
        version="1",
        lifespan=service.lifespan,
        docs_url=None,  # see delivery/pages.py
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    limits = Limits(
        _PREDICT, params.max_request_bytes, params.max_waiting, params.max_waiting_bytes, params.timeout_seconds
    )
    app.add_middleware(
        Protection, limits=limits, load=service.load, observe=service.metrics.request, finished=service.finished
    )
    add_handlers(app)
    _add_predictions(app, service)
    _add_operations(app, service)
    add_pages(app)
    return app


def _add_predictions(app: FastAPI, service: Service) -> None:
    @app.post(
        _PREDICT,
        tags=["predictions"],
        responses=problems(400, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": service.reader.documentation()},
        response_model_exclude_none=True,
    )
    async def predict(request: Request) -> Predictions:
        """Say what images show. JSON is scored as it is; PNG and JPEG files are brought to MNIST's form first.

        That form comes with the answer, for whoever sent a file can't know it otherwise.
        """
        pixels = await service.reader.pictures(request)
        waiting = service.batcher.submit(b"".join(pixels), len(pixels))
        request.scope["waiting"] = waiting
        answer = await waiting.future
        predictions = [
            Prediction(id=identifier, label=label, probabilities=probabilities)
            for identifier, label, probabilities in zip(answer.ids, answer.labels, answer.probabilities, strict=True)
        ]
        if media_type(request) != JSON:
            for prediction, image in zip(predictions, pixels, strict=True):
                prediction.image = as_rows(image)
        return Predictions(version=answer.version, predictions=predictions)

    @app.post(
        "/v1/feedback",
        tags=["predictions"],
        dependencies=[Depends(service.authorise)],
        responses=problems(400, 401, 403, 404, 408, 409, 413, 422, 503),
    )
    async def feedback(request: Request, label: FeedbackRequest) -> FeedbackAnswer:
        """Record the true label of a prediction.

        The first label stays: the same again changes nothing, another is refused (409) unless `correct` is set. Of
        two that come at the same time, one is the first. 404: never predicted, or forgotten by now.
        """
        address = request.client.host if request.client else None
        status, known = await asyncio.get_running_loop().run_in_executor(
            service.labels, service.log.feedback, label.id, label.label, label.source, address, label.correct
        )
        service.metrics.feedback(status)
        if status is Feedback.UNKNOWN or known is None:
            raise HTTPException(404, f"no prediction {label.id}: never made, or no longer in the log")
        if status is Feedback.CONFLICT:
            raise HTTPException(409, f"the label on record is {known}; set `correct` to replace it")
        return FeedbackAnswer(status=status, label=known)


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["operation"])
    async def health() -> dict[str, str]:
        """The process lives."""
        return {"status": "alive"}

    @app.get(
        "/readyz",
        tags=["operation"],
        responses={503: {"model": Readiness, "description": "not ready; `reason` says why"}},
    )
    async def ready(response: Response) -> Readiness:
        """Predictions are answered, and by which version."""
        stage, loaded = service.settings.stage, service.slot.current
        if loaded is None:
            response.status_code = 503
            response.headers.update(RETRY_AFTER)
            return Readiness(ready=False, stage=stage, reason=service.slot.reason)
        smoke = loaded.smoke.summary()
        return Readiness(ready=True, stage=stage, version=loaded.version, commit=loaded.commit, smoke=smoke)

    @app.get("/metrics", tags=["operation"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Counts, latencies and sizes in Prometheus' text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post(
        "/v1/admin/reload",
        tags=["operation"],
        dependencies=[Depends(service.authorise)],
        responses=problems(401, 403, 408, 409, 413, 503),
    )
    async def reload() -> Reloaded:
        """Load the version that the stage deploys, test it, and let it answer.

        Where that fails, the version before goes on (409 says why). After the answer no prediction of an older
        version is given any more.
        """
        try:
            return await service.reload()
        except (PipelineError, OSError) as error:
            raise HTTPException(409, str(error)) from None
