"""The service, as the page talks to it, and hands that draw digits on that page."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from delivery import client
from delivery.history import History
from delivery.schema import connect
from tests.e2e.project import BIN, ROOT
from tests.e2e.service import Started, started

if TYPE_CHECKING:
    from playwright.sync_api import Page

MODEL = ("model.onnx", "smoke.npz")
# Strokes as a person's hand takes them, between 0 and 1 from the upper left.
DIGITS = {
    1: [[(0.44, 0.26), (0.56, 0.16), (0.55, 0.5), (0.54, 0.86)]],
    3: [[(0.3, 0.24), (0.45, 0.16), (0.63, 0.22), (0.6, 0.4), (0.46, 0.46), (0.68, 0.58), (0.6, 0.82), (0.28, 0.74)]],
    # Nearly closed, and so nearly a 9.
    4: [
        [(0.513, 0.21), (0.371, 0.32), (0.306, 0.49), (0.5, 0.545), (0.679, 0.485)],
        [(0.65, 0.209), (0.65, 0.5), (0.6, 0.86)],
    ],
    7: [[(0.28, 0.24), (0.5, 0.22), (0.72, 0.23), (0.6, 0.45), (0.5, 0.62), (0.45, 0.82)]],
}


class Service(Started):
    """One that runs for the stage `production`, in the folder of its log."""

    @property
    def folder(self) -> Path:
        return self.log.parent

    def place(self, version: str, models: Path) -> None:
        """Put a version in place, as the reconciler does; the service still has to load it."""
        current = self.folder / "deployments/production/current"
        current.mkdir(parents=True, exist_ok=True)
        for name in MODEL:
            shutil.copy(models / name, current)
        (current / "version.json").write_text(json.dumps({"version": version, "commit": "0" * 40}))

    def load(self, token: str = "") -> None:
        """Have it load what is in place."""
        client.reload(self.url, token or None)

    @contextlib.contextmanager
    def history(self) -> Iterator[History]:
        """What has been logged."""
        engine = connect(f"sqlite:///{self.folder / 'log.db'}")
        yield History(engine)
        engine.dispose()


@contextlib.contextmanager
def serving(folder: Path, *, port: int = 0, token: str = "", **params: Any) -> Iterator[Service]:
    """The service with what is, or will be, in place in the folder.

    Args:
        folder: its log and its versions are there.
        port: where it listens; 0 is any.
        token: for feedback.
        params: of section `delivery`, other than this project's.
    """
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["delivery"] |= params
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    env = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "MNIST_ADMIN_TOKEN": token}
    command = ["python", "-m", "delivery.serve", "--as-placed", f"--port={port}"]
    with started(command, folder, env | {"MNIST_LOG_URL": "sqlite:///log.db"}, folder / "service.log") as running:
        service = Service(running.process, running.log)
        assert service.url
        yield service


def strokes(page: "Page", digit: int) -> list[list[tuple[float, float]]]:
    """Places on the screen that a hand passes, close together, to draw a digit."""
    box = page.locator("#pad").bounding_box()
    assert box
    return [
        [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in _rounded(stroke)]
        for stroke in DIGITS[digit]
    ]


def by_mouse(page: "Page", digit: int) -> None:
    """Draw with the mouse."""
    for first, *rest in strokes(page, digit):
        page.mouse.move(*first)
        page.mouse.down()
        for place in rest:
            page.mouse.move(*place)
        page.mouse.up()


def by_finger(page: "Page", digit: int, *, others: tuple[tuple[float, float], ...] = ()) -> None:
    """Draw with one finger, while `others` come down after it and rest."""
    screen = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for first, *rest in strokes(page, digit):
        touch("touchStart", first)
        if others:
            touch("touchStart", first, *others)
        for place in rest:
            touch("touchMove", place, *others)
        touch("touchEnd")


def by_pen(page: "Page", digit: int, pressure: float) -> None:
    """Draw with a pen that is pressed so much, between 0 and 1."""
    tablet = page.context.new_cdp_session(page)

    def pen(kind: str, place: tuple[float, float], buttons: int) -> None:
        event = {"type": kind, "x": place[0], "y": place[1], "button": "left", "buttons": buttons, "clickCount": 1}
        tablet.send("Input.dispatchMouseEvent", event | {"pointerType": "pen", "force": pressure * buttons})

    for stroke in strokes(page, digit):
        pen("mousePressed", stroke[0], 1)
        for place in stroke[1:]:
            pen("mouseMoved", place, 1)
        pen("mouseReleased", stroke[-1], 0)


def _rounded(corners: list[tuple[float, float]], parts: int = 8) -> list[tuple[float, float]]:
    """A curve through all corners (Catmull and Rom's)."""
    padded = [corners[0], *corners, corners[-1]]
    curve = [corners[0]]
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for t in (part / parts for part in range(1, parts + 1)):
            curve.append(
                tuple(  # type: ignore[arg-type]
                    (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * (q - r) + s - p) * t**3) / 2
                    for p, q, r, s in zip(a, b, c, d, strict=True)
                )
            )
    return curve
