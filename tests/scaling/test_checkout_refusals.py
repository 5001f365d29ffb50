"""What a node does not get, or not take: a clear error, and nothing half-made is left."""

import fcntl
import re
import resource
import shutil
import subprocess
import sys

import pytest

from scaling import checkout, fetching
from scaling.checkout import check, checked_out
from scaling.fetching import CheckoutError
from tests.scaling.checkouts import fetched, flipped, held, in_a_process, nothing_left, stand_in
from tests.scaling.repository import DATA, REMOTE, SUMS


def test_a_commit_that_is_not_there_is_named(cache, repository):
    with pytest.raises(CheckoutError, match=rf"commit {'a' * 40} can't be fetched from {repository.path}: .+; push it"):
        fetched(cache, repository, commit="a" * 40)
    assert nothing_left(cache)


def test_a_repository_that_is_not_there_is_named(cache, repository):
    commit = repository.git("rev-parse", "HEAD")
    with pytest.raises(CheckoutError, match=r"from /nowhere: .*does not appear to be a git repository"):
        checked_out(cache, "/nowhere", commit, SUMS)


def test_who_does_not_answer_is_given_up(cache, repository, monkeypatch, tmp_path):
    # As Git has programs of its own, for the network.
    monkeypatch.setenv("PATH", stand_in(tmp_path, "git", "(sleep 3600; true)")["PATH"])
    monkeypatch.setattr(fetching, "SECONDS", 0.0)
    with pytest.raises(CheckoutError, match=r"can't be fetched from .*: not within 0 seconds; push it"):
        fetched(cache, repository, commit="a" * 40)
    assert nothing_left(cache)
    with (cache / "lock").open("w") as lock:
        checkout._lock(lock.fileno(), cache, seconds=60)  # nobody is left who has it


def test_all_that_git_is_asked_for_has_one_limit_together(cache, repository, monkeypatch, tmp_path):
    """Each command alone would be in time."""
    monkeypatch.setenv("PATH", stand_in(tmp_path, "git", "sleep 2")["PATH"])
    monkeypatch.setattr(fetching, "SECONDS", 3.0)
    with pytest.raises(CheckoutError, match=r"can't be fetched from .*: not within 3 seconds; push it"):
        fetched(cache, repository, commit="a" * 40)


def test_a_lock_that_another_process_never_lets_go_is_given_up(cache):
    cache.mkdir()
    with (cache / "lock").open("w") as one, (cache / "lock").open("w") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        with pytest.raises(CheckoutError, match="another process fetches there for more than 0 seconds; end it if it"):
            checkout._lock(two.fileno(), cache, seconds=0)


def test_data_that_were_not_pushed_are_named(cache, repository):
    repository.object("data/prepared/train.npz").unlink()
    repository.commit()
    with pytest.raises(CheckoutError, match=r"data/prepared/train.npz.* can't be pulled .*`dvc push` it .*commit"):
        fetched(cache, repository)
    assert nothing_left(cache)


def test_what_the_remote_has_damaged_is_refused(cache, repository):
    flipped(repository.object("data/prepared/train.npz"))
    repository.commit()
    with pytest.raises(CheckoutError, match=r"data/prepared/train.npz"):
        fetched(cache, repository)
    assert nothing_left(cache)


def test_data_that_the_lock_of_the_commit_does_not_name_are_refused(cache, repository):
    other = SUMS | {"data/prepared/train.npz": "0" * 32}
    with pytest.raises(CheckoutError, match=r"data/prepared/train.npz, .* can't be pulled"):
        fetched(cache, repository, data=other)
    assert nothing_left(cache)


def test_an_address_runs_no_program(cache, repository, outside):
    """Also where Git's own settings would let it."""
    commit, executed = repository.git("rev-parse", "HEAD"), outside / "executed"
    repository.git("config", "--global", "protocol.allow", "always")
    address = f"ext::touch {executed}"
    with pytest.raises(CheckoutError, match="transport 'ext' not allowed"):
        checked_out(cache, address, commit, SUMS)
    for option in ("--upload-pack=touch x", "-oProxyCommand=touch x:path"):
        with pytest.raises(CheckoutError, match="an option of Git's"):
            checked_out(cache, option, commit, SUMS)
    assert not executed.exists()

    subprocess.run(["git", "fetch", address], cwd=repository.path, capture_output=True, check=False)
    assert executed.exists()  # so it would have been seen


@pytest.mark.parametrize("commit", ["--output=x", "main", "HEAD", "abc", "../../x"])
def test_what_is_no_whole_commit_never_reaches_git(cache, repository, commit):
    with pytest.raises(CheckoutError, match="is no commit"):
        fetched(cache, repository, commit=commit)
    assert not cache.exists()


def test_hooks_and_settings_around_a_worker_do_not_disturb(cache, repository, outside, monkeypatch):
    """Those of Git's templates, and of a repository in which Ray was started by a hook."""
    hook = outside / "templates/hooks/post-checkout"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ntouch {outside / 'executed'}\n")
    hook.chmod(0o755)
    repository.git("config", "--global", "init.templateDir", str(hook.parents[1]))
    commit = repository.git("rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(outside / "elsewhere"))
    checked_out(cache, str(repository.path), commit, SUMS)
    assert not (outside / "executed").exists()


def small_files() -> None:
    """Files of 150 kB at most, which stand in for a disk that is nearly full: the same calls fail."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))


@pytest.mark.parametrize("remote", ["in the repository", "elsewhere"])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(cache, repository, outside, remote):
    """Git meets it where the data lie in the repository, else DVC does."""
    if remote == "elsewhere":
        shutil.move(repository / ".dvcstore", outside / "store")
        repository.write({".dvc/config": REMOTE.replace("../.dvcstore", str(outside / "store"))})
        repository.commit()
    worker = in_a_process(cache, repository, preexec_fn=small_files)
    output = worker.communicate()[0]

    assert worker.returncode == 1, output
    assert output.startswith(f"refused: {cache}/"), output
    assert re.search(r"(File too large|disk I/O error); make room on this node \(\d+ MB are free there", output)
    assert "or set MNIST_NODE_CACHE" in output
    assert len(output.splitlines()) == 1
    assert nothing_left(cache)
    assert held(fetched(cache, repository))["data/prepared/train.npz"] == DATA["data/prepared/train.npz"]


def test_a_disk_that_is_full_is_known_by_what_git_says_of_it(cache, repository, monkeypatch, tmp_path):
    """Which is not what the system says, where the last part of what was fetched does not fit."""
    said = "error: unable to write file x\nfatal: sha1 file '/cache/objects/pack/x' write error. Out of diskspace"
    monkeypatch.setenv("PATH", stand_in(tmp_path, "git", f'echo "{said}" >&2; exit 1')["PATH"])
    with pytest.raises(CheckoutError, match=r": Out of diskspace; make room on this node \(\d+ MB"):
        fetched(cache, repository, commit="a" * 40)


def test_a_cache_that_can_not_be_written_is_named(repository, outside):
    (outside / "file").touch()
    with pytest.raises(CheckoutError, match=rf"{outside / 'file'}.*: Not a directory; see to it .* MNIST_NODE_CACHE"):
        fetched(outside / "file/cache", repository)


def test_a_node_without_git_or_dvc_is_told_so(cache, repository, monkeypatch):
    commit = repository.git("rev-parse", "HEAD")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(CheckoutError, match="can't be pulled from the DVC remote: exit code 1"):
        checked_out(cache, str(repository.path), commit, SUMS)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CheckoutError, match="git: not found on this node; install it"):
        checked_out(cache, str(repository.path), commit, SUMS)


def test_data_of_a_working_folder_are_checked(repository):
    check(repository.path, SUMS, "make it")
    flipped(repository / "data/prepared/train.npz")
    with pytest.raises(CheckoutError, match=r"train.npz: its MD5 sum is \w{32}, dvc.lock names .{32}; make it"):
        check(repository.path, SUMS, "make it")
    (repository / "data/prepared/train.npz").unlink()
    with pytest.raises(CheckoutError, match=r"train.npz: not there; make it"):
        check(repository.path, SUMS, "make it")
