from pathlib import Path

import pytest

from scaling.progress import Progress
from scaling.proposals import Proposals
from scaling.records import begin
from scaling.search import Search
from scaling.settings import base
from scaling.space import parse
from tests.scaling.repository import Repository, made
from tests.scaling.test_records import WANTED

RATE = parse({"train.learning_rate": {"loguniform": [0.01, 1.0]}})


@pytest.fixture
def outside(tmp_path, monkeypatch) -> Path:
    """Nothing of the person who runs the tests is read, and the cache of the node is a folder of the test's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.org")
    for kind in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE"):
        monkeypatch.setenv(f"DVC_{kind}_DIR", str(tmp_path / f"dvc-{kind}"))
    monkeypatch.setenv("MNIST_NODE_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def cache(outside) -> Path:
    return outside / "cache"


@pytest.fixture
def repository(outside) -> Repository:
    return made(outside / "repository")


@pytest.fixture
def journal(workspace):
    with begin("one", WANTED) as opened:
        yield opened


@pytest.fixture
def search(journal, capfd):
    def made(trials, space=RATE, places=None, **more):
        progress = Progress(trials, journal.records)
        proposals = Proposals(space, base(), 0)
        for record in journal.records:
            proposals.learn(record)
        room = {"a:1": 9} if places is None else places
        return Search(trials, proposals, journal, progress, places=lambda: room, **more)

    return made
