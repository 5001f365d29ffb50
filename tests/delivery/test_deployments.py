import errno
import hashlib
import os
import subprocess
import sys

import pytest

from delivery.deployments import Deployed, DeploymentError, Deployments
from tests.delivery.released import ROOT

COMMIT = "c" * 40


@pytest.fixture
def place(tmp_path):
    folder = Deployments(tmp_path / "deployments/staging")
    with folder.locked():
        yield folder


def bring(place, version, content=b"model", commit=COMMIT):
    with place.arriving(version) as part:
        (part / "model.onnx").write_bytes(content)
        place.state(part, Deployed(version, commit, {"model.onnx": hashlib.md5(content).hexdigest()}))


def names(place):
    return sorted(path.name for path in (place.folder / "versions").iterdir())


def test_a_version_arrives_whole_and_takes_its_place(place):
    bring(place, "v0.1.0")
    assert place.current() is None
    assert place.whole("v0.1.0", COMMIT)

    place.switch("v0.1.0")
    assert place.current() == place.find("v0.1.0")
    assert os.readlink(place.folder / "current") == "versions/v0.1.0"  # noqa: PTH115, as text
    assert (place.folder / "current/model.onnx").read_bytes() == b"model"

    place.switch(None)
    assert place.current() is None


def test_what_does_not_arrive_leaves_nothing(place):
    bring(place, "v0.1.0")
    with pytest.raises(OSError, match="No space left"), place.arriving("v0.1.0") as part:  # noqa: PT012
        (part / "model.onnx").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(place) == ["v0.1.0"]
    assert place.whole("v0.1.0", COMMIT)


@pytest.mark.parametrize("spoil", ["content", "lost", "statement", "no statement"])
def test_what_is_not_whole_is_not_used(place, spoil):
    bring(place, "v0.1.0")
    folder = place.path("v0.1.0")
    if spoil == "content":
        (folder / "model.onnx").write_bytes(b"mode1")
    elif spoil == "lost":
        (folder / "model.onnx").unlink()
    elif spoil == "statement":
        (folder / "version.json").write_text('{"version": "v0.1.0", "files": 5}')
    else:
        (folder / "version.json").unlink()
    assert not place.whole("v0.1.0", COMMIT)

    bring(place, "v0.1.0")
    assert place.whole("v0.1.0", COMMIT)


def test_a_version_of_another_commit_is_another(place):
    bring(place, "v0.1.0")
    assert not place.whole("v0.1.0", "d" * 40)


def test_the_last_ones_in_place_are_kept(place):
    for version in ("v0.1.0", "v0.2.0", "v0.3.0"):
        bring(place, version)
    for when, version in enumerate(("v0.3.0", "v0.1.0", "v0.2.0")):
        place.switch(version)
        os.utime(place.path(version), ns=(when, when))
    place.switch("v0.3.0")
    os.utime(place.path("v0.3.0"), ns=(0, 0))  # the one in place stays, whatever the clock says
    place.prune(2)
    assert names(place) == ["v0.2.0", "v0.3.0"]
    place.prune(1)
    assert names(place) == ["v0.3.0"]


def test_remains_of_a_killed_process_are_removed(tmp_path):
    place = Deployments(tmp_path / "staging")
    with place.locked():
        pass
    (tmp_path / "staging/versions/.v0.1.0.part").mkdir()
    (tmp_path / "staging/versions/.v0.1.0.part/model.onnx").write_bytes(b"half")
    (tmp_path / "staging/.current.part").symlink_to("versions/v0.1.0")
    (tmp_path / "staging/.status.json.part").write_text("{")
    with place.locked():
        assert sorted(path.name for path in place.folder.rglob("*")) == ["lock", "versions"]


def test_a_second_reconciler_waits_in_vain(place):
    waits = pytest.raises(
        DeploymentError, match=r"another reconciler has been at work for 0.2 s; wait for it, or end it"
    )
    with waits, Deployments(place.folder).locked(0.2):
        raise AssertionError


def test_the_lock_is_held_for_what_a_killed_process_has_started(tmp_path):
    place = Deployments(tmp_path / "staging")
    script = f"""
import os, signal, subprocess
from pathlib import Path
from delivery.deployments import Deployments
with Deployments(Path({str(place.folder)!r})).locked() as lock:
    print(subprocess.Popen(["sleep", "60"], stdout=-3, stderr=-3, pass_fds=(lock,)).pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    with pytest.raises(DeploymentError, match="another reconciler"), place.locked(0.2):
        raise AssertionError
    os.kill(int(answer.stdout), 9)
    with place.locked():
        pass


def test_a_status_that_is_none_is_no_obstacle(place):
    assert place.status() == {}
    place.report({"current": "v0.1.0"})
    assert place.status() == {"current": "v0.1.0"}
    (place.folder / "status.json").write_text("[1]")
    assert place.status() == {}
