"""What the pages look like, to everybody and on every screen."""

import json
import urllib.request

import pytest

from tests.browser.drawing import by_mouse
from tests.browser.page import DESKTOP
from tests.e2e.drawing_page.shown import PHONE, faults, read

pytestmark = pytest.mark.e2e
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


def test_the_documentation_of_the_api_brings_everything_along_too(opened, service):
    page = opened(service)
    page.goto(f"{service.url}/docs")
    page.get_by_text("/v1/predict", exact=True).wait_for()

    assert page.locator(".opblock-summary-path").all_inner_texts() == list(
        json.load(urllib.request.urlopen(f"{service.url}/openapi.json"))["paths"]
    )
