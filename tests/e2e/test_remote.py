"""The DVC remote: the one inside the repository, and S3 when you outgrow it."""

import http.client
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.running import free_port
from tests.e2e.project import ROOT, wait_for

pytestmark = pytest.mark.e2e


def test_a_bare_pull_brings_all_that_the_lock_names(checkout, tmp_path):
    project = checkout.clone(tmp_path / "project")
    output = project.dvc("pull")

    assert "ERROR" not in output
    assert None not in project.outputs().values()
    assert project.git("status", "--porcelain") == ""
    # Hashed by DVC itself, from the files.
    assert project.repro() == ()


@pytest.fixture
def s3(tmp_path):
    """Address of an S3 server with an empty bucket."""
    port = free_port()
    server = Path(sys.prefix) / "s3-server/bin/moto_server"
    with (tmp_path / "s3.log").open("wb") as log:
        process = subprocess.Popen([server, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)

    def request(method, path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        except ConnectionRefusedError:
            return None
        finally:
            connection.close()

    try:
        wait_for(lambda: request("GET", "/") == 200 or process.poll() is not None)
        assert request("PUT", "/bucket") == 200, (tmp_path / "s3.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def use_s3(project, address, *where):
    project.dvc("remote", "add", *where, "--default", "s3", "s3://bucket/dvc")
    project.dvc("remote", "modify", *where, "s3", "endpointurl", address)
    project.env = project.env | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    project.env |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


def test_push_to_s3_and_pull_from_it(pulled, checkout, tmp_path, s3):
    here = pulled.copy(tmp_path / "here")
    use_s3(here, s3, "--local")
    here.dvc("push")

    there = checkout.clone(tmp_path / "there")
    shutil.rmtree(there / ".dvcstore")
    use_s3(there, s3, "--local")
    assert not (there / ".dvc/cache").exists()
    assert [path.name for path in (there / "data").iterdir()] == ["production.dvc"]
    there.dvc("pull")

    assert there.outputs() == pulled.outputs()
    # And back into a project that lost its cache and its outputs.
    shutil.rmtree(here / ".dvc/cache")
    for folder in ("data", "models", ".dvcstore"):
        shutil.rmtree(here / folder)
    here.git("checkout", "data")  # data/production.dvc
    here.dvc("pull")
    assert here.outputs() == pulled.outputs()
    assert (here / "data/production/train.npz").exists()


def test_what_is_pushed_to_s3_is_verified(pulled, tmp_path, s3):
    project = pulled.copy(tmp_path / "project")
    use_s3(project, s3, "--local")
    assert "models/model.onnx" in project.dvc("data", "status", "--not-in-remote")
    assert "not in the DVC remote" in project.run("python", "-m", "reporting.verify", fails=True)
    project.dvc("push")
    project.run("python", "-m", "reporting.verify")
    assert os.listdir(project / ".dvcstore")  # noqa: PTH208

    # What the README says next leaves nothing that is neither committed nor pushed.
    (removal,) = re.findall(r"^\$ (git rm .+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    project.sh(removal)
    project.commit("objects are in S3")
    assert not (project / ".dvcstore").exists()
    project.run("python", "-m", "reporting.verify")


def test_a_node_of_a_cluster_fetches_its_data_from_s3(pulled, tmp_path, s3):
    """As docs/scale.md advises for many nodes: the remote is in the commit, the credentials are the node's own."""
    project = pulled.copy(tmp_path / "project")
    use_s3(project, s3)
    project.dvc("push", "data/prepared/train.npz", "data/prepared/validation.npz", "data/prepared/statistics.json")
    project.git("rm", "-r", "--quiet", ".dvcstore")
    project.commit("objects are in S3")
    fetch = "from scaling.source import describe_code; describe_code('HEAD:6379', '.')"  # as each node does, on its own
    project.env = project.env | {"MNIST_NODE_CACHE": str(tmp_path / "cache")}
    project.run("python", "-c", fetch)
    (found,) = (tmp_path / "cache/checkouts").iterdir()
    for name in ("train.npz", "validation.npz", "statistics.json"):
        assert (found / "data/prepared" / name).read_bytes() == (pulled / "data/prepared" / name).read_bytes()
    assert not (found / ".dvcstore").exists()
