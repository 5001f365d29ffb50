"""What is asked of a running service: which version answers, to load another, to recognise digits."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from delivery.settings import is_loopback
from digits.errors import PipelineError

READY_SECONDS = 10.0
# Loading and warming a session takes well under a second; on a machine that is busy, and one that swaps, longer.
RELOAD_SECONDS = 60.0
_IMAGES = 50  # a request


class ServiceError(PipelineError):
    """A service answers, but not as it should."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would show the token to whom an answer names, and take what that one says for the service's answer."""

    def redirect_request(self, *_: Any) -> None:
        """Never: it remains an error."""


def ready(url: str) -> dict[str, Any] | None:
    """What `GET /readyz` answers, whether ready or not; None where nothing listens.

    Args:
        url: of the service, without a path.

    Raises:
        ServiceError: something listens that gives no such answer, or none in time.
    """
    status, answer = _ask(url, "/readyz", READY_SECONDS)
    if status is None:
        return None
    if status not in (200, 503) or not isinstance(answer.get("ready"), bool):
        raise ServiceError(f"{url}/readyz: answers {status} {_short(answer)}; is this the service of this project?")
    return answer


def reload(url: str, token: str | None) -> None:
    """Have the service load what was put in place. It goes on with what it had if that is refused.

    Args:
        url: of the service, without a path.
        token: MNIST_ADMIN_TOKEN, if the service has been given one.

    Raises:
        ServiceError: it refuses, or nothing listens any more.
    """
    status, answer = _ask(url, "/v1/admin/reload", RELOAD_SECONDS, token=token, data=b"")
    if status is None:
        raise ServiceError(f"{url}: nothing listens there any more")
    if status in (401, 403):
        raise ServiceError(f"{url}: reloading is not allowed ({_short(answer)}); set MNIST_ADMIN_TOKEN as it has it")
    if status != 200:
        raise ServiceError(f"{url}: the service refuses the version: {_short(answer)}")


class Served:
    """A service's model, as the smoke test takes one."""

    def __init__(self, url: str, version: str) -> None:
        self._url, self._version = url, version

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities float32 (N, classes) of images uint8 (N, H, W), N at least 1.

        Raises:
            ServiceError: the service gives none, or another version does.
        """
        found: list[Any] = []
        for part in np.split(images, range(_IMAGES, len(images), _IMAGES)):
            content = json.dumps({"images": part.tolist()}).encode()
            status, answer = _ask(self._url, "/v1/predict", READY_SECONDS, data=content)
            if status != 200 or answer.get("version") != self._version:
                said = _short(answer) if status != 200 else f"version {answer.get('version')}"
                raise ServiceError(f"{self._url}/v1/predict: answers {status} {said}, expected {self._version}'s")
            found += [prediction["probabilities"] for prediction in answer["predictions"]]
        return np.array(found, np.float32)


def _ask(
    url: str, path: str, seconds: float, *, token: str | None = None, data: bytes | None = None
) -> tuple[int | None, dict[str, Any]]:
    """Status and JSON object of an answer; None if the connection is refused."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"{url.rstrip('/')}{path}", data=data, headers=headers)  # noqa: S310, see settings
    # A proxy is for what is elsewhere.
    direct = [urllib.request.ProxyHandler({})] if is_loopback(urlsplit(url).hostname or "") else []
    opener = urllib.request.build_opener(_NoRedirect, *direct)
    try:
        try:
            with opener.open(request, timeout=seconds) as response:
                return response.status, _json(response.read())
        except urllib.error.HTTPError as error:
            with error:
                if to := error.headers.get("Location"):
                    raise ServiceError(
                        f"{url}{path}: leads to {to}, which is not followed; give the address of the service itself"
                    ) from None
                return error.code, _json(error.read())
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ConnectionRefusedError):
            return None, {}
        raise ServiceError(f"{url}{path}: no answer ({reason or type(error).__name__})") from None


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = body.decode(errors="replace")
    return answer if isinstance(answer, dict) else {"detail": answer}


def _short(answer: dict[str, Any]) -> str:
    return str(answer.get("detail", answer))[:500]
