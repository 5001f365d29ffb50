import fcntl
import os
import shutil
import signal
import time

import pytest

from scaling.checkout import checked_out, commit_of
from scaling.fetching import CheckoutError
from tests.scaling.checkouts import fetched, flipped, held, in_a_process, stand_in
from tests.scaling.repository import DATA, SUMS

CODE = ["digits/__init__.py", "digits/version.py", "scaling/__init__.py", "stages/__init__.py"]
PROJECT = [".checkout.json", ".dvc/config", ".dvcignore", "dvc.lock", "dvc.yaml", "params.yaml"]


def test_a_checkout_holds_what_a_trial_reads_and_no_more(cache, repository):
    folder = fetched(cache, repository)

    files = held(folder)
    assert sorted(files) == sorted([*PROJECT, *CODE, *DATA])
    assert {name: files[name] for name in DATA} == DATA
    assert files["digits/version.py"] == b"HERE = 1\n"
    assert commit_of(folder) == repository.git("rev-parse", "HEAD") == commit_of(repository.path)
    assert commit_of(cache) is None


def test_what_is_there_is_used_again_without_git_and_dvc(cache, repository, monkeypatch):
    commit = repository.git("rev-parse", "HEAD")
    folder = fetched(cache, repository)
    shutil.rmtree(repository.path)
    monkeypatch.setenv("PATH", "")

    assert checked_out(cache, str(repository.path), commit, SUMS) == folder


def test_commits_stand_side_by_side_and_share_their_data(cache, repository):
    first = fetched(cache, repository)
    repository.write({"digits/version.py": "HERE = 2\n"})
    repository.commit()
    second = fetched(cache, repository)

    assert (first / "digits/version.py").read_text() == "HERE = 1\n"
    assert (second / "digits/version.py").read_text() == "HERE = 2\n"
    train = "data/prepared/train.npz"
    assert (first / train).samefile(second / train)


# Of data, DVC's cache holds the same file, for it is linked: that is not to be taken for whole either.
@pytest.mark.parametrize("name", ["digits/version.py", "data/prepared/train.npz", ".checkout.json"])
def test_a_damaged_checkout_is_made_anew(cache, repository, name):
    folder = fetched(cache, repository)
    whole = held(folder)
    flipped(folder / name)
    (folder / "params.yaml").unlink()

    assert fetched(cache, repository) == folder
    assert held(folder) == whole


@pytest.mark.parametrize("name", ["numpy.py", "digits/errors.so", "torch"])
def test_what_was_put_beside_is_not_taken_along(cache, repository, outside, name):
    folder = fetched(cache, repository)
    whole = held(folder)
    (outside / "theirs").mkdir()
    (outside / "theirs/__init__.py").touch()
    (folder / name).symlink_to(outside / "theirs") if name == "torch" else (folder / name).touch()

    assert fetched(cache, repository) == folder
    assert held(folder) == whole
    assert not (folder / name).is_symlink()


def test_nobody_else_may_write_to_the_cache(cache, repository, monkeypatch):
    fetched(cache, repository)
    assert cache.stat().st_mode & 0o777 == 0o700
    cache.chmod(0o770)
    with pytest.raises(
        CheckoutError, match=rf"{cache}: can be written by other users, .*set MNIST_NODE_CACHE to a fold"
    ):
        fetched(cache, repository)
    cache.chmod(0o755)
    fetched(cache, repository)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(CheckoutError, match=rf"{cache}: belongs to another user"):
        fetched(cache, repository)


def test_several_workers_of_a_node_fetch_once(cache, repository, outside):
    env = stand_in(outside, "git", f'echo "$@" >>{outside / "calls"}; exec "$REAL" "$@"')
    workers = [in_a_process(cache, repository, env) for _ in range(4)]
    answers = {worker.communicate()[0] for worker in workers}

    assert answers == {f"{cache / 'checkouts' / repository.git('rev-parse', 'HEAD')}\n"}
    assert (outside / "calls").read_text().count(" fetch ") == 1


def test_a_worker_that_is_killed_halfway_is_waited_for_and_made_up_for(cache, repository, outside):
    """Git outlives its worker: as long as it writes, nobody else begins."""
    reached, go_on = outside / "reached", outside / "go-on"
    hold = (
        f'case "$*" in *fetch*) touch {reached}; until test -e {go_on}; do sleep 0.05; done;; esac; exec "$REAL" "$@"'
    )
    worker = in_a_process(cache, repository, stand_in(outside, "git", hold))
    wait_for(reached.exists)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert (cache / "unfinished/.git").exists()
    assert not lock_is_free(cache)

    go_on.touch()
    wait_for(lambda: lock_is_free(cache))
    folder = fetched(cache, repository)
    assert sorted(held(folder)) == sorted([*PROJECT, *CODE, *DATA])
    assert not (cache / "unfinished").exists()


def wait_for(condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def lock_is_free(cache) -> bool:
    with (cache / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
