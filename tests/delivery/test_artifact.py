import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from delivery import artifact
from delivery.artifact import PREDICTIONS, SERVED, ArtifactError, fetch
from delivery.deployments import Deployments
from delivery.git import GitError
from tests.delivery.released import ROOT, Released, https

TAG = "mnist@v0.1.0"
MODEL = "models/model.onnx"


@pytest.fixture(scope="module")
def released(finished, tmp_path_factory) -> Released:
    """Two versions; the embedded remote of the working tree has lost the first one's model. Do not change it."""
    repository = Released(tmp_path_factory.mktemp("released") / "project", finished)
    repository.release("v0.1.0")
    (repository.path / store(repository.md5(MODEL, TAG))).unlink()
    repository.release("v0.2.0")
    repository.bare(repository.path.parent / "bare.git")
    return repository


@pytest.fixture(scope="module")
def server(released, tmp_path_factory):
    with https(released.path.parent, tmp_path_factory.mktemp("server")) as (address, certificate):
        yield f"{address}/bare.git", certificate


@pytest.fixture
def own(finished, tmp_path) -> Released:
    """One version, to be changed."""
    repository = Released(tmp_path / "project", finished)
    repository.release("v0.1.0")
    return repository


def store(md5: str) -> str:
    return f".dvcstore/files/md5/{md5[:2]}/{md5[2:]}"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def cache(repository: Released, name: str, content: bytes) -> None:
    sum_ = repository.md5(name, TAG)
    repository.write(f".dvc/cache/files/md5/{sum_[:2]}/{sum_[2:]}", content)


@pytest.mark.parametrize("kind", ["working tree", "bare clone", "file address", "https"])
def test_a_version_is_fetched_by_its_tag(released, request, tmp_path, monkeypatch, kind):
    bare = released.path.parent / "bare.git"
    repo = {"working tree": released.path, "bare clone": bare, "file address": bare.as_uri()}.get(kind)
    if kind == "https":
        repo, certificate = request.getfixturevalue("server")
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    fetched = fetch(repo, TAG, tmp_path / "to")

    expected = {Path(name).name: released.md5(name, TAG) for name in SERVED}
    assert fetched.files == expected
    assert {path.name: md5(path) for path in (tmp_path / "to").iterdir()} == expected
    assert fetched.commit == released.git("rev-parse", f"{TAG}^{{commit}}")
    assert fetched.seconds.keys() == {"git", "dvc"}
    assert released.git("status", "--porcelain", "--ignored") == ""


def test_only_the_blobs_that_are_asked_for_come_over_the_wire(released, tmp_path, monkeypatch):
    clone = released.bare(tmp_path / "bare.git")
    subprocess.run(["git", "-C", clone, "config", "uploadpack.allowFilter", "true"], check=True)
    subprocess.run(["git", "-C", clone, "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
    monkeypatch.setenv("GIT_TRACE_PACKET", str(tmp_path / "trace"))
    fetch(clone.as_uri(), TAG, tmp_path / "to", [MODEL])

    wanted = [line.split()[-1] for line in (tmp_path / "trace").read_text().splitlines() if "fetch> want" in line]
    names = released.git("ls-tree", "-r", TAG).splitlines()
    came = {line.split("\t")[1] for line in names if line.split()[2] in wanted}
    assert store(released.md5(MODEL, TAG)) in came
    assert store(released.md5("models/reference.npz", TAG)) not in came


def test_other_files_come_when_they_are_asked_for(released, tmp_path):
    assert list(fetch(released.path, TAG, tmp_path, [PREDICTIONS]).files) == ["predictions.npz"]
    assert md5(tmp_path / "predictions.npz") == released.md5(PREDICTIONS, TAG)


def test_what_the_cache_of_a_working_tree_has_needs_neither_dvc_nor_the_remote(own, tmp_path, monkeypatch):
    content = own.path / store(own.md5(MODEL, TAG))
    cache(own, MODEL, content.read_bytes())
    monkeypatch.setattr(artifact, "_ask_dvc", None)
    fetch(own.path, TAG, tmp_path / "to", [MODEL])

    assert (tmp_path / "to/model.onnx").read_bytes() == content.read_bytes()


def test_what_is_damaged_in_the_cache_comes_from_the_remote(own, tmp_path):
    cache(own, MODEL, b"damaged")
    fetch(own.path, TAG, tmp_path / "to", [MODEL])
    assert md5(tmp_path / "to/model.onnx") == own.md5(MODEL, TAG)


@pytest.mark.parametrize("kind", ["path", "bare"])
def test_a_damaged_object_is_refused(own, tmp_path, kind):
    path = own.path / store(own.md5(MODEL, TAG))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    own.git("commit", "--quiet", "--all", "--message", "a bit flipped")
    own.git("tag", "--force", "--annotate", TAG, "--message", "of the damaged remote")
    repo = own.path if kind == "path" else own.bare(tmp_path / "bare.git")

    with pytest.raises(ArtifactError, match=rf"{TAG}: models/model.onnx as the remote has it is damaged"):
        fetch(repo, TAG, tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


def test_what_a_killed_fetch_leaves_lies_where_the_version_would_arrive(own, tmp_path):
    """Where the next reconciliation removes it."""
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    script = """
import os, signal, sys
from delivery import artifact
artifact._lock = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
artifact.main()
"""
    place = Deployments(tmp_path / "staging")
    part = place.folder / "versions/.v0.1.0.part"
    command = [sys.executable, "-c", script, "--repo", own.path, "--to", part, TAG]
    env = os.environ | {"TMPDIR": str(elsewhere)}
    assert subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False).returncode == -9
    assert len(list(part.glob(".version-*/checkout/.git"))) == 1
    assert list(elsewhere.iterdir()) == []
    with place.locked():
        assert list(part.parent.iterdir()) == []


def test_a_file_that_is_nowhere_is_named(own, tmp_path):
    (own.path / store(own.md5(MODEL, TAG))).unlink()
    own.git("commit", "--quiet", "--all", "--message", "lost")
    own.git("tag", "--force", "--annotate", TAG, "--message", "of nothing")

    with pytest.raises(ArtifactError, match=r"models/model.onnx can't be fetched from the DVC remote.*dvc push"):
        fetch(own.path, TAG, tmp_path / "to")


def test_a_remote_of_this_machine_alone_is_asked(finished, tmp_path):
    own = Released(tmp_path / "project", finished)
    own.write(".gitignore", b"/.dvc/config.local\n")
    own.release("v0.1.0", store="../elsewhere")
    assert own.git("ls-tree", "-r", "--name-only", TAG, ".dvcstore") == ""
    settings = b"[core]\n    remote = mine\n['remote \"mine\"']\n    url = ../../elsewhere\n"
    own.write(".dvc/config.local", settings)
    fetch(own.path, TAG, tmp_path / "to")

    assert md5(tmp_path / "to/model.onnx") == own.md5(MODEL, TAG)


def test_what_the_lock_does_not_name_is_said(own, tmp_path):
    with pytest.raises(ArtifactError, match=r"dvc.lock names no models/other.bin; it names models/model.onnx, "):
        fetch(own.path, TAG, tmp_path / "to", ["models/other.bin"])


def test_a_tag_of_no_pipeline_is_said(own, tmp_path):
    own.git("rm", "--quiet", "dvc.lock")
    own.git("commit", "--quiet", "--message", "no lock")
    own.git("tag", "--annotate", "other", "--message", "other")
    with pytest.raises(ArtifactError, match=r"other: no dvc.lock that can be read"):
        fetch(own.path, "other", tmp_path / "to")
    with pytest.raises(GitError, match=r"mnist@v9.9.9"):
        fetch(own.path, "mnist@v9.9.9", tmp_path / "to")
    with pytest.raises(GitError, match=r"nowhere"):
        fetch(tmp_path / "nowhere", TAG, tmp_path / "to")


def test_as_a_command(own, tmp_path):
    command = [sys.executable, "-m", "delivery.artifact", "--repo", own.path, "--to", tmp_path / "to", TAG, MODEL]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["files"] == {"model.onnx": own.md5(MODEL, TAG)}

    answer = subprocess.run([*command, "nothing"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: {TAG}: dvc.lock names no nothing; it names ")
