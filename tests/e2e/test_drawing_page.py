"""The page on which a person draws, in a headless Chromium, against the real service with the shipped model."""

import base64
import io
import json
import re
import signal
import socket
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from delivery.log import as_bytes
from delivery.schema import LABELS, PREDICTIONS, connect
from tests.browser.drawing import by_finger, by_mouse, by_pen, serving
from tests.browser.install import PACKAGES
from tests.browser.page import chromium

pytestmark = pytest.mark.e2e

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}
VERSION = "v1.2.3"
# Height of each digit's bar, as it is painted.
HEIGHTS = """bars => bars.map(bar => {
  const moved = new DOMMatrix(getComputedStyle(bar, "::before").transform).m42;
  return Math.round(bar.clientHeight - moved);
})"""
BOXES = """() => Array.from(document.querySelectorAll("main *:not(option, .unseen, #invitation, #notice)"), element => {
  const { x, y, width, height } = element.getBoundingClientRect();
  return [element.tagName, element.className.replace("best", ""), x, y, width, height];
}).filter(([tag]) => !["OUTPUT", "STRONG", "P", "SPAN", "B"].includes(tag))"""
OVERFLOW = """() => {
  const { scrollWidth, scrollHeight } = document.documentElement;
  return [scrollWidth - innerWidth, scrollHeight - innerHeight];
}"""
# Of the paper, and of what is drawn on it: 0 to 765.
BRIGHTNESS = """pad => [getComputedStyle(pad.parentElement).backgroundColor, getComputedStyle(pad).color].map(
  colour => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"""
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
}
VIOLATIONS = "document.addEventListener('securitypolicyviolation', event => console.error('policy', event.blockedURI))"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def models(pulled):
    return pulled / "models"


@pytest.fixture(scope="module")
def service(models, tmp_path_factory):
    """A service that answers, for all tests that do it no harm."""
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, port=0) as service:
        service.place(VERSION, models)
        service.load()
        yield service


@pytest.fixture
def opened(browser):
    """Open the page of a service. What goes wrong in it, or leads elsewhere, fails the test unless it is `expected`."""
    contexts, wrong = [], []

    def open_page(service, expected="", **options):
        context = browser.new_context(**({"reduced_motion": "reduce"} | DESKTOP | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # only a broken page takes so long
        page.add_init_script(VIOLATIONS)

        def report(text):
            if not expected or expected not in text:
                wrong.append(text)

        page.on("console", lambda message: report(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: report(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((service.url, "data:")) else report(asked.url))
        page.goto(service.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


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
    """How opaque each pixel of a canvas is, uint8 (H, W)."""
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


@pytest.mark.parametrize(
    ("draw", "screen", "digit"), [(by_mouse, DESKTOP, 1), (by_mouse, DESKTOP, 3), (by_finger, PHONE, 7)]
)
def test_a_drawn_digit_has_the_longest_bar_and_is_logged_as_it_is_shown(opened, service, draw, screen, digit):
    page = opened(service, **screen)
    draw(page, digit)
    read(page, digit)
    row = last(service)

    heights = page.eval_on_selector_all(".bar", HEIGHTS)
    assert len(heights) == 10
    assert np.argmax(heights) == digit
    assert sum(heights) == pytest.approx(max(heights) / row.probabilities.max(), abs=10)
    assert page.inner_text("#served").split()[-4:] == [VERSION, "in", "stage", "production"]
    assert page.inner_text("#sure") == f"{np.floor(1000 * row.probabilities.max()) / 10:.1f} %"
    assert (row.labels[0], row.versions[0], row.truths[0]) == (digit, VERSION, -1)
    assert np.array_equal(painted(page, "#seen"), row.pixels[0])
    assert page.evaluate("scrollY") == 0


def test_a_drawing_is_read_while_it_grows_one_request_at_a_time(opened, service):
    page = opened(service)
    page.locator("#stage", has_text="production").wait_for()
    under_way, most, asked = set(), 0, 0

    def begun(request):
        nonlocal most, asked
        under_way.add(request)
        most, asked = max(most, len(under_way)), asked + 1

    def ended(request):
        under_way.discard(request)

    def grow(to):
        page.mouse.move(600, to, steps=10)
        page.evaluate("1")  # what that led to has been heard of

    page.on("request", begun)
    page.on("requestfinished", ended)
    page.clock.install()
    page.clock.pause_at("2100-01-01")
    before = count(service)
    page.mouse.move(600, 250)
    page.mouse.down()
    grow(350)
    assert asked == 0
    page.clock.run_for(250)
    page.get_by_role("button", name=re.compile(r"It is an? \d \d+ %")).first.wait_for()
    assert asked == 1
    grow(450)
    page.clock.run_for(249)
    grow(500)
    assert asked == 1
    page.clock.run_for(1)
    assert page.locator("#digits button").first.is_disabled()  # for the pen is still down
    assert page.locator("#right").is_hidden()
    page.mouse.up()
    page.clock.resume()
    read(page, 1)

    assert (most, asked) == (1, 2)
    assert count(service) - before == asked


def test_that_is_wrong_it_is_a_4(opened, service):
    page = opened(service, **PHONE)
    by_finger(page, 7)
    read(page, 7)

    page.get_by_role("button", name="It is a 4").tap()
    row = record(service, page.get_by_text("Thank you. Recorded as a 4."))
    assert (row.labels[0], row.truths[0], row.sources[0]) == (7, 4, "page")
    assert page.get_by_role("button", name="It is a 4", pressed=True).count() == 1

    page.get_by_role("button", name="It is an 8").tap()  # a slip of the finger, corrected
    assert record(service, page.get_by_text("Recorded as an 8.")).truths[0] == 8


def test_yes_confirms_the_reading_and_the_next_digit_starts_anew(opened, service):
    page = opened(service)
    by_mouse(page, 3)
    read(page, 3)
    page.get_by_role("button", name="Yes").click()
    assert record(service, page.get_by_text("Recorded as a 3.")).truths[0] == 3

    page.get_by_role("button", name="Clear").click()
    assert page.locator("[aria-pressed=true]").count() == 0
    by_mouse(page, 7)
    read(page, 7)
    assert page.get_by_role("button", name="Yes").is_visible()
    assert last(service).truths[0] == -1


def test_undo_takes_the_last_stroke_and_clear_takes_all(opened, service):
    page = opened(service)
    by_mouse(page, 1)
    read(page, 1)
    alone = painted(page, "#seen")
    by_mouse(page, 7)
    page.get_by_text("Is it").wait_for()
    assert not np.array_equal(painted(page, "#seen"), alone)

    page.get_by_role("button", name="Undo").click()
    read(page, 1)
    assert np.array_equal(painted(page, "#seen"), alone)

    before = count(service)
    page.get_by_role("button", name="Clear").click()
    assert painted(page, "#pad").mean() == 0
    assert page.inner_text("#digit") == "?"
    assert set(page.eval_on_selector_all(".bar", HEIGHTS)) == {0}
    assert page.get_by_role("button", name="Undo").is_disabled()
    by_mouse(page, 3)
    read(page, 3)
    assert count(service) > before


def test_keys_draw_undo_and_clear(opened, service):
    page = opened(service)
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pad"
    keys.press("Space")
    for _ in range(14):
        keys.press("ArrowDown")
    keys.press("Space")
    read(page, 1)
    with_one = painted(page, "#pad").mean()

    keys.press("Space")
    for _ in range(6):
        keys.press("ArrowLeft")
    keys.press("Space")
    page.get_by_text("Is it").wait_for()
    assert painted(page, "#pad").mean() > with_one
    keys.press("Control+z")
    read(page, 1)
    keys.press("Escape")
    assert page.inner_text("#digit") == "?"


def test_a_pen_that_is_pressed_draws_a_thicker_line(opened, service):
    page = opened(service)
    ink = {}
    for pressure in (0.2, 0.9):
        by_pen(page, 3, pressure)
        read(page, 3)
        ink[pressure] = painted(page, "#pad").mean()
        page.get_by_role("button", name="Clear").click()
    assert ink[0.9] > 1.5 * ink[0.2]


def test_a_second_finger_leaves_no_ink(opened, service):
    page = opened(service, **PHONE)
    by_finger(page, 7)
    read(page, 7)
    one = painted(page, "#seen")
    page.get_by_role("button", name="Clear").tap()
    by_finger(page, 7, others=((60, 340),))
    read(page, 7)
    assert np.array_equal(painted(page, "#seen"), one)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_fits_stands_still_and_can_be_used_by_everybody(opened, service, screen, colours):
    page = opened(service, color_scheme=colours, **screen)
    page.locator("#stage", has_text="production").wait_for()
    empty = page.evaluate(BOXES)
    assert len(empty) > 20
    assert faults(page) == []
    assert page.evaluate(OVERFLOW) == [0, 0]

    by_mouse(page, 3)
    read(page, 3)
    assert faults(page) == []
    page.get_by_role("button", name="It is a 4").click()
    page.get_by_text("Recorded").wait_for()
    assert faults(page) == []
    after = [[tag, name.replace(" away", "").replace("away", ""), *box] for tag, name, *box in page.evaluate(BOXES)]
    assert after == [[tag, name.replace("away", ""), *box] for tag, name, *box in empty]
    paper, text = page.eval_on_selector("#pad", BRIGHTNESS)
    assert (paper < text) == (colours == "dark")


def test_without_a_model_it_says_so_and_reads_once_there_is_one(opened, models, tmp_path):
    with serving(tmp_path) as service:
        page = opened(service, expected="503 (Service Unavailable)")
        page.get_by_text("there is no model to serve; bring one with `make promote`").wait_for()
        by_mouse(page, 7)  # read later
        service.place("v0.3.0", models)
        service.load()
        read(page, 7)
        assert page.locator("#notice").is_hidden()
        assert page.inner_text("#version") == "v0.3.0"

        service.place("v0.4.0", models)  # while the page is open
        service.load()
        page.get_by_role("button", name="Undo").click()
        by_mouse(page, 1)
        read(page, 1)
        assert page.inner_text("#version") == "v0.4.0"


def test_overload_is_shown_and_the_newest_drawing_read_afterwards(opened, models, tmp_path):
    with serving(tmp_path, max_waiting=6, timeout_seconds=100) as service:
        service.place(VERSION, models)
        service.load()
        page = opened(service, expected="503 (Service Unavailable)")
        page.locator("#stage", has_text="production").wait_for()
        statuses = []
        page.on("response", lambda response: statuses.append(response.status))
        address = urlsplit(service.url)
        half = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\n"
        held = [socket.create_connection((address.hostname, address.port)) for _ in range(6)]
        for connection in held:
            connection.sendall(half)
        by_mouse(page, 3)
        page.get_by_text("No answer yet: too many requests are waiting; try again later. Trying again").wait_for()
        page.get_by_role("button", name="Clear").click()
        by_mouse(page, 7)
        for connection in held:
            connection.close()
        read(page, 7)
        assert page.locator("#notice").is_hidden()
        assert statuses.count(503) > 0
        assert statuses.count(200) == count(service)


def test_a_service_that_is_slow_or_gone_is_waited_for(opened, models, tmp_path):
    with serving(tmp_path) as service:
        service.place(VERSION, models)
        service.load()
        port = urlsplit(service.url).port
        page = opened(service, expected="ERR_")
        page.locator("#stage", has_text="production").wait_for()
        service.process.send_signal(signal.SIGSTOP)
        by_mouse(page, 3)
        page.get_by_text("Still waiting for an answer").wait_for()
        page.get_by_role("button", name="Clear").click()
        service.process.send_signal(signal.SIGCONT)
        page.locator("#notice").wait_for(state="hidden")
        assert page.inner_text("#digit") == "?"  # the late answer is to what is no longer there
        by_mouse(page, 7)
        read(page, 7)
    page.get_by_role("button", name="Clear").click()
    by_mouse(page, 3)
    page.get_by_text("No answer yet: the service can't be reached. Trying again").wait_for()
    page.get_by_role("button", name="Clear").click()
    by_mouse(page, 1)
    with serving(tmp_path, port=port):
        read(page, 1)
        assert page.locator("#notice").is_hidden()


def test_a_token_is_asked_for_and_kept_in_memory_alone(opened, models, tmp_path):
    with serving(tmp_path, token="open sesame") as service:
        service.place(VERSION, models)
        service.load("open sesame")
        page = opened(service, expected="401 (Unauthorized)")
        by_mouse(page, 7)
        read(page, 7)
        dialog, field = page.get_by_role("dialog"), page.get_by_label("Token", exact=True)

        page.get_by_role("button", name="It is a 1").click()
        dialog.get_by_role("button", name="Cancel").click()
        assert record(service, page.get_by_text("Not recorded: it needs the token.")).truths[0] == -1

        page.get_by_role("button", name="Yes").click()
        assert faults(page) == []
        field.fill("guessed")
        field.press("Enter")
        page.get_by_text("That token was not accepted.").wait_for()
        field.fill("open sesame")
        dialog.get_by_role("button", name="Send").click()
        assert record(service, page.get_by_text("Recorded as a 7.")).truths[0] == 7

        page.get_by_role("button", name="It is a 2").click()  # not asked again
        assert record(service, page.get_by_text("Recorded as a 2.")).truths[0] == 2
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert "sesame" not in page.content()
        assert field.input_value() == ""


def test_a_reading_that_others_labelled_or_the_log_forgot(opened, service):
    page = opened(service, expected="the server responded with a status of 40")
    by_mouse(page, 7)
    read(page, 7)
    [identifier] = last(service).ids
    body = json.dumps({"id": identifier, "label": 9, "source": "somebody"}).encode()
    request = urllib.request.Request(f"{service.url}/v1/feedback", body, {"content-type": "application/json"})
    urllib.request.urlopen(request).close()

    page.get_by_role("button", name="It is a 1").click()
    row = record(service, page.get_by_text("Another digit is on record for it. Choose again to replace that."))
    assert (row.truths[0], row.sources[0]) == (9, "somebody")
    page.get_by_role("button", name="It is a 1").click()
    row = record(service, page.get_by_text("Recorded as a 1."))
    assert (row.truths[0], row.sources[0]) == (1, "page")

    engine = connect(f"sqlite:///{service.folder / 'log.db'}")
    with engine.begin() as connection:
        connection.execute(sa.delete(LABELS).where(LABELS.c.prediction == as_bytes(identifier)))
        connection.execute(sa.delete(PREDICTIONS).where(PREDICTIONS.c.id == as_bytes(identifier)))
    engine.dispose()
    page.get_by_role("button", name="It is a 2").click()
    page.get_by_text("Not recorded: this reading is no longer in the log.").wait_for()


def test_the_documentation_of_the_api_brings_everything_along_too(opened, service):
    page = opened(service)
    page.goto(f"{service.url}/docs")
    page.get_by_text("/v1/predict", exact=True).wait_for()

    assert page.locator(".opblock-summary-path").all_inner_texts() == list(
        json.load(urllib.request.urlopen(f"{service.url}/openapi.json"))["paths"]
    )
