"""A stand-in for the service: answers /readyz and /v1/admin/reload as delivery.service does, and as it never would."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class StandIn:
    """Serves what lies in a stage's folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.stage = "staging"
        self.token: str | None = None
        self.refused: set[str] = set()  # versions
        self.answers: dict[str, tuple[int, bytes]] = {}  # in place of the right ones, by path
        self.elsewhere = ""  # where an answer of 3xx leads to
        self.ignores = False  # says that it has reloaded, and has not
        self.reloads = 0
        self.loaded: dict[str, Any] | None = None
        self.load()

    def load(self) -> None:
        path = self.folder / "current/version.json"
        self.loaded = json.loads(path.read_text()) if path.exists() else None

    @property
    def version(self) -> str | None:
        return self.loaded["version"] if self.loaded else None

    def answer(self, method: str, path: str, token: str) -> tuple[int, bytes]:
        if path in self.answers:
            return self.answers[path]
        if (method, path) == ("GET", "/readyz"):
            if self.loaded is None:
                return 503, json.dumps({"ready": False, "stage": self.stage, "reason": "no model"}).encode()
            told = {"ready": True, "stage": self.stage, "smoke": {"passed": True, "images": 20, "right": 20}}
            return 200, json.dumps(told | {key: self.loaded[key] for key in ("version", "commit")}).encode()
        if (method, path) != ("POST", "/v1/admin/reload"):
            return 404, b'{"detail": "Not Found"}'
        if self.token and token != f"Bearer {self.token}":
            return 401, b'{"detail": "Not authenticated"}'
        self.reloads += 1
        before = self.loaded
        if not self.ignores:
            self.load()
        if self.version in self.refused:
            said, self.loaded = f"{self.version}: it does not do", before
            return 409, json.dumps({"detail": said}).encode()
        return 200, json.dumps({"version": self.version}).encode()


@contextlib.contextmanager
def stand_in(folder: Path) -> Iterator[StandIn]:
    """A service that runs, for the stage whose versions lie in `folder`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = service.answer(self.command, self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if 300 <= status < 400:
                self.send_header("Location", service.elsewhere)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = StandIn(folder, f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
