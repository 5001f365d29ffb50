"""Services that all tests of the service may ask."""

import pytest

from tests.delivery.service.asked import TOKEN, Stub
from tests.delivery.serving import placed, serving


@pytest.fixture(scope="session")
def source(finished, tmp_path_factory):
    return placed(tmp_path_factory.mktemp("placed") / "models", finished)


@pytest.fixture(scope="session")
def running(source, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("service"), source) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(source, tmp_path_factory):
    """A service that asks for a token."""
    with serving(tmp_path_factory.mktemp("guarded"), source, token=TOKEN) as running:
        yield running


@pytest.fixture
def stub():
    stub = Stub()
    yield stub
    stub.open.set()
