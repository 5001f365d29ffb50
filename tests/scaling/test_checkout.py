import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling.checkout import check, checked_out, commit_of
from scaling.fetching import CheckoutError
from tests.scaling.repository import DATA, REMOTE, SUMS

ROOT = Path(__file__).parents[2]
CODE = ["digits/__init__.py", "digits/version.py", "scaling/__init__.py", "stages/__init__.py"]
PROJECT = [".checkout.json", ".dvc/config", ".dvcignore", "dvc.lock", "dvc.yaml", "params.yaml"]
SCRIPT = """
import json, sys
from pathlib import Path
from scaling.checkout import CheckoutError, checked_out
cache, repository, commit, data = sys.argv[1:]
try:
    print(checked_out(Path(cache), repository, commit, json.loads(data)))
except CheckoutError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture
def cache(outside) -> Path:
    return outside / "cache"


def fetched(cache, repository, commit=None, data=SUMS) -> Path:
    return checked_out(cache, str(repository.path), commit or repository.git("rev-parse", "HEAD"), data)


def held(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_a_process(cache, repository, env=None, **options) -> subprocess.Popen:
    """The same in a process of its own."""
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        cache,
        repository.path,
        repository.git("rev-parse", "HEAD"),
        json.dumps(SUMS),
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | (env or {})
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def nothing_left(cache) -> bool:
    return not (cache / "unfinished").exists() and not any((cache / "checkouts").glob("*"))


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


def flipped(path: Path) -> None:
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


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


def test_a_commit_that_is_not_there_is_named(cache, repository):
    with pytest.raises(CheckoutError, match=rf"commit {'a' * 40} can't be fetched from {repository.path}: .+; push it"):
        fetched(cache, repository, commit="a" * 40)
    assert nothing_left(cache)


def test_a_repository_that_is_not_there_is_named(cache, repository):
    commit = repository.git("rev-parse", "HEAD")
    with pytest.raises(CheckoutError, match=r"from /nowhere: .*does not appear to be a git repository"):
        checked_out(cache, "/nowhere", commit, SUMS)


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


def stand_in(folder: Path, program: str, script: str) -> dict[str, str]:
    """Environment in which a script stands before a program; it finds the program's path in $REAL."""
    (folder / "bin").mkdir()
    (folder / "bin" / program).write_text(f"#!/bin/sh\nREAL={shutil.which(program)}\n{script}\n")
    (folder / "bin" / program).chmod(0o755)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


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
