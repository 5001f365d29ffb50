"""A person says what the digit is."""

import json
import urllib.request

import pytest
import sqlalchemy as sa

from delivery.log import as_bytes
from delivery.schema import LABELS, PREDICTIONS, connect
from tests.browser.drawing import by_finger, by_mouse, serving
from tests.e2e.drawing_page.shown import PHONE, VERSION, faults, last, read, record

pytestmark = pytest.mark.e2e


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
