"""Prometheus, Alertmanager and whoever is told, with the files that are shipped, by the commands of docs/monitoring.md.

Only addresses and lengths of time are changed, so that a test takes free ports and need not wait for hours.
"""

import contextlib
import json
import re
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from tests.e2e.project import wait_for
from tests.e2e.service import Started, started
from tests.prometheus.programs import CONFIGURATION, ROOT, program, said

PAGE = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")

_SCRAPE, _HELD, _GROUP = "250ms", "1s", "500ms"


class Told:
    """A webhook: keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []  # receiver, and Alertmanager's JSON

    def alerts(self, name: str, status: str) -> list[tuple[str, dict[str, Any]]]:
        """Receiver and alert, of all that it was told of one by that name."""
        return [
            (receiver, alert)
            for receiver, message in list(self.messages)
            for alert in message["alerts"]
            if (alert["labels"]["alertname"], alert["status"]) == (name, status)
        ]


@contextlib.contextmanager
def receiving() -> Iterator[tuple[Told, str]]:
    """A webhook that listens, and its address."""
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.messages.append((self.path.strip("/"), message))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield told, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Prometheus:
    """One that runs, and the Alertmanager that it tells."""

    def __init__(self, url: str, alertmanager: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=20)
        self._alertmanager = alertmanager

    def ask(self, path: str, **query: str) -> Any:
        """`data` of an answer of its HTTP API."""
        answer = self._client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        return answer.json()["data"]

    def query(self, expression: str) -> list[Any]:
        """The series that an expression has now."""
        return self.ask("query", query=expression)["result"]

    def firing(self) -> str:
        """What the page's command prints of Alertmanager's alerts."""
        name, *options = typed("amtool alert query")
        return said(name, *(re.sub("http://.+", self._alertmanager, option) for option in options))

    def close(self) -> None:
        self._client.close()


@contextlib.contextmanager
def alertmanager(folder: Path, receiver: str) -> Iterator[str]:
    """Host and port of one that tells a webhook, until the end of the block.

    Args:
        folder: in which the page's commands are typed.
        receiver: address of the webhook.
    """
    routes = read("alertmanager.yml")
    for route in (routes["route"], *routes["route"]["routes"]):
        route.update({key: _GROUP for key in route if key in ("group_wait", "group_interval")})
    for one in routes["receivers"]:
        for webhook in one["webhook_configs"]:
            webhook["url"] = f"{receiver}{urlsplit(webhook['url']).path}"
    write(folder, "alertmanager.yml", routes)
    with listening("alertmanager", folder) as address:
        yield address


@contextlib.contextmanager
def prometheus(folder: Path, service: str, told: str) -> Iterator[Prometheus]:
    """One that collects from a service, until the end of the block.

    Args:
        folder: in which the page's commands are typed.
        service: its address.
        told: host and port of the Alertmanager.
    """
    rules = read("rules.yml")
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule.update({key: _HELD for key in rule if key in ("for", "keep_firing_for")})
    settings = read("prometheus.yml")
    settings["global"] = dict.fromkeys(settings["global"], _SCRAPE)
    (job,) = settings["scrape_configs"]
    job["static_configs"][0]["targets"] = [urlsplit(service).netloc]
    settings["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [told]}]}]
    write(folder, "rules.yml", rules)
    write(folder, "prometheus.yml", settings)
    with listening("prometheus", folder) as address:
        running = Prometheus(f"http://{address}", f"http://{told}")
        try:
            yield running
        finally:
            running.close()


def read(name: str) -> Any:
    """What a shipped file says."""
    return yaml.safe_load((CONFIGURATION / name).read_text(encoding="utf-8"))


def write(folder: Path, name: str, content: Any) -> None:
    """Put another in the place of a shipped file."""
    path = folder / CONFIGURATION.relative_to(ROOT) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


def typed(name: str) -> list[str]:
    """The page's command that begins with a program's name."""
    (line,) = re.findall(rf"^(?:\$ )?({name} .+)$", PAGE, re.MULTILINE)
    return shlex.split(line)


@contextlib.contextmanager
def listening(name: str, folder: Path) -> Iterator[str]:
    """Host and port of a program that listens on a free one, and is killed afterwards."""
    _, *options = typed(name)
    command = [program(name), *(re.sub(r"(--web.listen-address=127.0.0.1:)\d+", r"\g<1>0", one) for one in options)]
    with started(command, folder, {}, folder / f"{name}.log") as running:
        yield address(running)


def address(running: Started) -> str:
    """Where a program of Prometheus' says that it listens."""
    found = re.compile(r'msg="Listening on".* address=(127\.0\.0\.1:\d+)')
    wait_for(lambda: bool(found.search(running.said)) or running.process.poll() is not None)
    at = found.search(running.said)
    assert at, running.said
    return at[1]
