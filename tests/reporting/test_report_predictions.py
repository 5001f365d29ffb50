import hashlib
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from reporting import predictions
from reporting.revisions import committed, resolve, snapshot, workspace
from tests.reporting import history

pytestmark = pytest.mark.usefixtures("repository")


def of_base():
    commit = resolve("base")
    return predictions.find(snapshot(committed(commit)), committed(commit), commit)


def stored():
    """The only object of the cache."""
    return next(path for path in Path(predictions.CACHE).rglob("*") if path.is_file())


def moved_to_the_embedded_remote():
    path = stored()
    target = Path(predictions.EMBEDDED) / path.relative_to(predictions.CACHE)
    target.parent.mkdir(parents=True)
    path.rename(target)
    return target


def test_the_workspace_has_them():
    found = predictions.find(snapshot(workspace), workspace, None)

    assert found.right.sum() == 980
    assert found.confusion(10).sum() == 1000


def test_the_cache_has_them():
    assert of_base().right.sum() == 980


def test_the_embedded_remote_has_them():
    moved_to_the_embedded_remote()

    assert of_base().right.sum() == 980


def test_the_embedded_remote_had_them_at_that_commit():
    target = moved_to_the_embedded_remote()
    history.git("checkout", "--quiet", "base")
    history.git("add", "--force", str(target))
    history.commit()
    history.git("rm", "-r", "--quiet", ".dvcstore")
    history.git("checkout", "--quiet", "main")

    assert of_base().right.sum() == 980


def test_dvc_is_asked_last(monkeypatch):
    content = stored().read_bytes()
    Path("answer").write_bytes(content)
    shutil.rmtree(".dvc")
    assert of_base() is None
    monkeypatch.setattr(predictions, "_ASK_DVC", "import sys; sys.stdout.buffer.write(open('answer', 'rb').read())")
    assert of_base().right.sum() == 980


def test_a_remote_that_does_not_answer(monkeypatch):
    shutil.rmtree(".dvc")
    monkeypatch.setattr(predictions, "_ASK_DVC", "import time; time.sleep(60)")
    monkeypatch.setattr(predictions, "SECONDS", 0.2)

    assert of_base() is None


def test_a_damaged_object_is_not_believed():
    path = stored()
    path.write_bytes(history.archive(history.LABELS))

    assert hashlib.md5(path.read_bytes()).hexdigest() not in str(path)
    assert of_base() is None


def test_a_workspace_without_the_file_looks_elsewhere():
    Path(predictions.PATH).unlink()

    assert predictions.find(snapshot(workspace), workspace, None).right.sum() == 980


def test_a_lock_without_predictions():
    history.write("dvc.lock", "stages: {}\n")
    Path(predictions.PATH).unlink()

    assert predictions.find(snapshot(workspace), workspace, None) is None


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        npz(labels=np.arange(3)),
        npz(labels=np.arange(3), predicted=np.arange(4)),
        npz(labels=np.zeros((2, 2), int), predicted=np.zeros((2, 2), int)),
        npz(labels=np.array([0.5]), predicted=np.array([1])),
        npz(labels=np.array([10**9]), predicted=np.array([1])),
        npz(labels=np.array([-1]), predicted=np.array([1])),
        npz(labels=np.array([], int), predicted=np.array([], int)),
        npz(labels=np.array([{}]), predicted=np.array([1])),
        npz(labels=np.arange(3), predicted=np.arange(3))[:-40],
    ],
)
def test_what_is_no_predictions_is_refused(content):
    assert predictions.parse(content) is None


def test_the_question_to_dvc_is_a_program():
    answer = subprocess.run(["python", "-c", f"compile({predictions._ASK_DVC!r}, 'x', 'exec')"], check=False)
    assert answer.returncode == 0
