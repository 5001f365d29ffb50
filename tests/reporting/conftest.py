import pytest

from reporting import lockfile, predictions
from tests.reporting import history


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A small repository as the working folder, in which DVC never ran and can't be asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lockfile, "waiting", list)
    monkeypatch.setattr(predictions, "_ASK_DVC", "raise SystemExit(1)")
    history.start()
