"""A person draws, and sees what it is taken for."""

import re

import numpy as np
import pytest

from tests.browser.drawing import by_finger, by_mouse, by_pen
from tests.browser.page import DESKTOP
from tests.e2e.drawing_page.shown import HEIGHTS, PHONE, VERSION, count, last, painted, read

pytestmark = pytest.mark.e2e


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
