"""The web service: predictions, feedback, readiness and metrics over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import ValidationError

from delivery.batching import Batcher
from delivery.contract import (
    Prediction,
    Predictions,
    PredictRequest,
    Readiness,
    Reloaded,
)
from delivery.log import PredictionLog
from delivery.metrics import Metrics
from delivery.protection import Limits, Protection
from delivery.settings import DeliveryParams, ServiceSettings
from delivery.slot import Slot, Source
from digits.errors import PipelineError

PAGE = Path(__file__).parent / "page"


def create_app(params: DeliveryParams, settings: ServiceSettings, source: Source) -> FastAPI:
    slot, metrics = Slot(), Metrics()
    bearer = HTTPBearer(auto_error=False)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        log = app.state.log = PredictionLog(settings.log_url, settings.stage)
        app.state.batcher = Batcher(slot, log, metrics.batch)
        try:
            loaded = await asyncio.to_thread(source.load, params.smoke_accuracy)
            await slot.switch(loaded)
            metrics.model(settings.stage, loaded.version)
        except PipelineError as error:
            slot.reason = str(error)
        yield
        await asyncio.to_thread(app.state.batcher.close)
        log.close()

    app = FastAPI(title="MNIST", lifespan=lifespan)
    reloading = asyncio.Lock()

    @app.post("/v1/predict", response_model=Predictions)
    async def predict(request: Request) -> Predictions:
        body = await request.body()
        try:
            pictures = PredictRequest.model_validate_json(body).pictures()
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_input=False, include_url=False)) from None
        batcher = app.state.batcher
        waiting = batcher.submit(b"".join(pictures), len(pictures))
        request.scope["waiting"] = waiting
        answer = await waiting.future
        return Predictions(
            version=answer.version,
            predictions=[
                Prediction(id=i, label=l, probabilities=p)
                for i, l, p in zip(answer.ids, answer.labels, answer.probabilities)
            ],
        )

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> Readiness:
        c = slot.current
        if c is None:
            return JSONResponse({"ready": False, "stage": settings.stage, "reason": slot.reason}, 503)
        return Readiness(ready=True, stage=settings.stage, version=c.version, commit=c.commit, smoke=c.smoke.summary())

    @app.post("/v1/admin/reload")
    async def reload() -> Reloaded:
        async with reloading:
            try:
                loaded = await asyncio.to_thread(source.load, params.smoke_accuracy)
            except PipelineError as error:
                raise HTTPException(409, str(error)) from None
            await slot.switch(loaded)
            metrics.model(settings.stage, loaded.version)
            return Reloaded(version=loaded.version, commit=loaded.commit)

    @app.get("/metrics")
    async def prom() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    def finished(scope):
        if "waiting" in scope:
            app.state.batcher.done(scope["waiting"])

    app.add_middleware(
        Protection,
        limits=Limits(params.max_request_bytes, params.max_waiting, params.max_waiting_bytes, params.timeout_seconds),
        observe=metrics.request,
        finished=finished,
    )
    return app
