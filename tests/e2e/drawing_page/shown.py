"""What the page shows, and what of it is in the log."""

import base64
import io
import json

import numpy as np
from PIL import Image

from tests.browser.install import PACKAGES

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}
VERSION = "v1.2.3"
# Height of each digit's bar, as it is painted.
HEIGHTS = """bars => bars.map(bar => {
  const moved = new DOMMatrix(getComputedStyle(bar, "::before").transform).m42;
  return Math.round(bar.clientHeight - moved);
})"""
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
}


def read(page, digit):
    """Wait until the drawing has been read as a whole, as this digit."""
    page.get_by_text(f"Is it a {digit}?").wait_for()
    assert page.inner_text("#digit") == str(digit)


def faults(page):
    """What axe finds that keeps somebody from using the page."""
    page.evaluate((PACKAGES / "axe-core/axe.min.js").read_text())
    found = page.evaluate(f"axe.run({json.dumps(AXE)})")
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    return [(fault["id"], node["html"]) for fault in found["violations"] for node in fault["nodes"]]


def painted(page, canvas):
    """How opaque each pixel of a canvas is, uint8 (H, W), once what waited for the next frame has been painted."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    _, _, png = page.eval_on_selector(canvas, "canvas => canvas.toDataURL()").partition(",")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).getchannel("A"))


def last(service):
    """The newest prediction in the log."""
    with service.history() as history:
        return history.latest(1)


def count(service):
    with service.history() as history:
        return history.count()


def record(service, text):
    """Wait for an answer to feedback; then the newest prediction in the log."""
    text.wait_for()
    return last(service)
