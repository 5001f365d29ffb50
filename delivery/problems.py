"""What the service answers where it can't do what was asked, and how OpenAPI describes that."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from delivery.contract import Invalid, Problem
from delivery.protection import RETRY_AFTER
from delivery.schema import LogError
from delivery.slot import SlotError

# Findings in the answer to a request that is wrong in many places, and letters of each of its words.
_DETAIL_LIMIT, _WORD_LIMIT = 5, 60
_WORDS = {
    400: "not readable",
    401: "the token is missing or wrong",
    403: "not from this machine",
    404: "unknown",
    408: "it took too long to arrive",
    409: "refused",
    413: "too large",
    415: "neither JSON nor a picture",
    422: "not what it is said to be: what, and where",
    503: "not now; try again after a while",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's answers with these statuses, for OpenAPI."""
    return {
        status: {"model": Invalid if status == 422 else Problem, "description": _WORDS[status]} for status in statuses
    }


def add_handlers(app: FastAPI) -> None:
    """Answer what goes wrong while a request is read, scored or logged."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(LogError, _unavailable)
    app.add_exception_handler(SlotError, _unavailable)


async def _invalid(_request: Request, error: Any) -> JSONResponse:
    """What was wrong and where; without what was sent, which may be long, and NaN is no JSON."""
    findings = [
        {
            "loc": [part if isinstance(part, int) else part[:_WORD_LIMIT] for part in finding["loc"]],
            "msg": finding["msg"],
            "type": finding["type"],
        }
        for finding in error.errors()[:_DETAIL_LIMIT]
    ]
    return JSONResponse({"detail": findings}, 422)


async def _gone(_request: Request, _error: Any) -> Response:
    """For the metrics alone, by the number that nginx gives it: the client went away before its request was whole."""
    return Response(status_code=499)


async def _unavailable(_request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503, RETRY_AFTER)
