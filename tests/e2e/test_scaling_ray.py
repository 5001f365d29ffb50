"""Ray as sweeps start it, and ask it: who may give it orders, and what of a node that does not answer."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.e2e.project import ROOT

pytestmark = pytest.mark.e2e

SECONDS = 120  # after which a process is given up

OWN = """
import sys, time
from pathlib import Path
import ray  # so that it is there before its settings are
from scaling.cluster import Places, connected
from scaling.preflight import asked

def hang(spec):
    time.sleep(3600)

with connected(None, 1, "cpu") as cluster:
    print(cluster.head, ray._private.worker._global_node.get_session_dir_path(), flush=True)
    sys.stdin.readline()
    (answer,) = asked(None, Places(cluster)(), hang, patience=0.2, quiet=0.1).values()
    print(answer, flush=True)
"""
STRANGER = """
import sys
from digits.errors import run
from scaling.cluster import connected
def main():
    with connected(sys.argv[1], 1, "cpu"):
        import ray
        print(ray.get(ray.remote(lambda: "obeyed").remote()))
run(main)
"""


@pytest.fixture(scope="module")
def own(env):
    """A process with a Ray of its own."""
    command = [sys.executable, "-c", OWN]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=env | {"PYTHONPATH": str(ROOT)}, **pipes)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def told(own) -> tuple[str, str]:
    """Where that Ray listens, and the folder of its sockets and logs."""
    head, folder = line(own).split()
    return head, folder


def line(process: subprocess.Popen) -> str:
    """What a process prints next."""
    limit = threading.Timer(SECONDS, process.kill)
    limit.start()
    try:
        return process.stdout.readline()
    finally:
        limit.cancel()


def order(env, head: str, **words: str) -> str:
    """What comes of an order from another process."""
    command = [sys.executable, "-c", STRANGER, head]
    near = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        command, env=env | near | words, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return answer.stdout + answer.stderr


def test_a_ray_of_ones_own_obeys_who_knows_the_token_and_nobody_else(env, own, told):
    head, _ = told
    token = psutil.Process(own.pid).children(recursive=True)[0].environ()["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    assert order(env, head, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token) == "obeyed\n"
    for words in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        said = order(env, head, **words)
        assert "obeyed" not in said
        assert f"error: RAY_ADDRESS={head}: no cluster answers (" in said  # after a line of Ray's own log
        assert "Traceback" not in said


def test_its_folder_is_closed_and_the_token_in_none_of_its_files(env, own, told):
    folder = Path(told[1])
    assert folder.parents[1].stat().st_mode & 0o777 == 0o700
    token = psutil.Process(own.pid).children(recursive=True)[0].environ()["RAY_AUTH_TOKEN"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]
    assert not (Path(env["HOME"]) / ".ray/auth_token").exists()


def test_a_node_that_hangs_is_waited_for_no_longer_than_said(own, told):
    own.stdin.write("go on\n")
    own.stdin.flush()
    said = line(own)
    assert re.fullmatch(r"waits for \S+:[0-9a-f]{8}, at most 0\.2 seconds\n", said), said
    assert line(own) == "no answer for 0.2 seconds\n"
    assert own.wait(SECONDS) == 0
