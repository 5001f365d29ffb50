"""The page on which a person draws, in a headless Chromium, against the real service with the shipped model."""

import pytest

from tests.browser.drawing import serving
from tests.browser.page import chromium
from tests.e2e.drawing_page.shown import DESKTOP, VERSION

VIOLATIONS = "document.addEventListener('securitypolicyviolation', event => console.error('policy', event.blockedURI))"


@pytest.fixture(scope="module")  # while it is open, nothing else in this process can run a loop of asyncio
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def models(pulled):
    return pulled / "models"


@pytest.fixture(scope="session")
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
