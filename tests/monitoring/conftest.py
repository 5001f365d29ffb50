import pytest

from tests.monitoring.logged import Logged


@pytest.fixture
def logged(tmp_path, monkeypatch):
    made = Logged(tmp_path, monkeypatch)
    yield made
    made.log.close()
