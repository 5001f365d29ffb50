"""The page on which a person draws, in a headless Chromium, against the real service with the shipped model."""

import pytest

from tests.browser.drawing import serving
from tests.browser.page import chromium, opening
from tests.e2e.drawing_page.shown import VERSION


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
    """Open the page of a service: see `opening`."""
    with opening(browser) as open_page:
        yield lambda service, expected="", **options: open_page(service.url, expected, **options)
