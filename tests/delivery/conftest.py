from pathlib import Path

import pytest

from delivery.log import PredictionLog
from tests.delivery.databases import Postgresql, Sqlite
from tests.delivery.postgresql import server

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Coverage is measured of other rooms (see pyproject.toml). To trace what runs here takes a third as long again."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A running server of PostgreSQL."""
    with server(tmp_path_factory.mktemp("postgresql") / "data") as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty database for a prediction log, of each kind."""
    if request.param == "sqlite":
        return Sqlite(tmp_path / "logs/production.db")
    return Postgresql(request.getfixturevalue("postgresql"))


@pytest.fixture
def log(database):
    """An empty prediction log, of each kind."""
    opened = PredictionLog(database.url, "production")
    yield opened
    opened.close()


@pytest.fixture
def sqlite(tmp_path):
    """An empty database for what SQLite alone does."""
    return Sqlite(tmp_path / "logs/production.db")
