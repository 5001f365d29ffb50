"""The Dockerfile, without an engine: linted, and each of its steps carried out in a clean environment."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from delivery import client
from tests.e2e.dockerfile import Image
from tests.e2e.project import ROOT, wait_for

pytestmark = pytest.mark.e2e

IMAGE = Image(ROOT)


def unprivileged(*command: str) -> list[str]:
    """The superuser may write anywhere, so it gives that right up."""
    return [*(["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []), *command]


def test_hadolint_has_no_complaint():
    answer = subprocess.run(
        ["hadolint", "--failure-threshold", "style", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, "")


def test_what_is_not_named_stays_out():
    for name in ("delivery/serve.py", "digits/onnx_model.py", "params.yaml", "requirements.lock", "pyproject.toml"):
        assert not IMAGE.ignored(name), name
    for name in (".git/config", ".env", "models/model.onnx", ".dvc/config.local", "delivery/__pycache__/serve.pyc"):
        assert IMAGE.ignored(name), name


def test_it_runs_as_nobody_in_particular():
    (user,) = IMAGE.values("USER")
    assert user.split(":")[0].isdigit()
    assert int(user.split(":")[0]) > 0
    later = [name for name, _ in IMAGE.instructions[IMAGE.instructions.index(("USER", user)) :]]
    assert not {"RUN", "COPY", "ADD"} & set(later)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The working folder after all steps, with a Python that has what they installed; and the environment."""
    folder = tmp_path_factory.mktemp("image")
    app = folder / "app"
    app.mkdir()
    subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True)
    kept = {
        key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_")) or "proxy" in key.lower()
    }
    kept |= {key: os.environ[key] for key in ("HOME", "LD_LIBRARY_PATH") if key in os.environ}
    env = kept | {"PATH": f"{folder / 'python/bin'}:{os.environ['PATH']}"}
    for name, value in IMAGE.instructions:
        if name == "COPY":
            IMAGE.copy(value, app)
        elif name == "RUN":
            answer = subprocess.run(["sh", "-c", value], cwd=app, env=env, capture_output=True, text=True, check=False)
            assert answer.returncode == 0, answer.stdout + answer.stderr
        elif name == "ENV":
            env |= IMAGE.env
    return app, env


@pytest.fixture(scope="module")
def running(built, pulled):
    """The service as the image starts it, with a version beside it; nothing can be written but its log."""
    app, env = built
    deployed = app / "deployments/production"
    (deployed / "versions/v0.1.0").mkdir(parents=True)
    for name in ("model.onnx", "smoke.npz"):
        (deployed / "versions/v0.1.0" / name).write_bytes((pulled / "models" / name).read_bytes())
    (deployed / "versions/v0.1.0/version.json").write_text('{"version": "v0.1.0", "commit": "c", "files": {}}')
    (deployed / "current").symlink_to("versions/v0.1.0")
    for path in [app, *app.rglob("*")]:
        if not path.is_symlink() and path != app / "logs":
            path.chmod(path.stat().st_mode & ~0o222)
    env = env | {"MNIST_HOST": "127.0.0.1", "MNIST_PORT": "0", "MNIST_ADMIN_TOKEN": "secret"}
    command = unprivileged(*IMAGE.words("ENTRYPOINT"), *IMAGE.words("CMD"))
    with (app.parent / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=app, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        said = process.stdout.readline()
        assert "http://" in said, (app.parent / "log").read_text()
        url = said.split()[-1]
        wait_for(lambda: (client.ready(url) or {}).get("ready") or process.poll() is not None)
        yield url, env | {"MNIST_PORT": url.rpartition(":")[2]}, app
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        for path in [app, *app.rglob("*")]:
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o200)


def test_torch_and_what_trains_are_not_there(built):
    app, env = built
    for module in ("torch", "torchvision", "dvc", "onnx"):
        answer = subprocess.run(
            ["python", "-c", f"import {module}"], cwd=app, env=env, capture_output=True, check=False
        )
        assert b"ModuleNotFoundError" in answer.stderr, module
    assert not [path for path in app.rglob("*") if path.suffix in (".onnx", ".npz", ".safetensors")]
    size = sum(path.lstat().st_size for folder in ("app", "python") for path in (app.parent / folder).rglob("*"))
    assert size < 450_000_000, "the image is not small any more"  # a third of it is scipy, for the monitor


def test_the_service_starts_from_it_and_answers(running):
    url, _, app = running
    assert client.ready(url)["version"] == "v0.1.0"
    probabilities = client.Served(url, "v0.1.0").probabilities(np.zeros((2, 28, 28), np.uint8))
    assert probabilities.shape == (2, 10)
    assert [path.name for path in (app / "logs").iterdir() if path.suffix == ".db"] == ["production.db"]


def test_the_health_check_tells_a_service_from_none(running):
    _, env, app = running
    check = IMAGE.health
    assert subprocess.run(check, cwd=app, env=env, check=False).returncode == 0
    answer = subprocess.run(check, cwd=app, env=env | {"MNIST_PORT": "9"}, capture_output=True, check=False)
    assert answer.returncode == 1
