"""The service on a machine on which nothing can be written but its logs, by nobody: `/` and `/tmp` are read-only."""

import shutil

import numpy as np
import pytest

from delivery import client
from delivery.history import History
from delivery.schema import connect
from monitoring import state
from tests.e2e.project import NAMESPACE, ROOT, wait_for
from tests.e2e.service import started

pytestmark = pytest.mark.e2e

# What the kernel itself shows stays as it is; it takes no files.
SCRIPT = """
mount --make-rprivate /
mount --bind logs logs
awk '{print $5}' /proc/self/mountinfo | while read -r place; do
  case $place in
    /proc*|/sys*|/dev|/dev/pts|/dev/mqueue|*/logs) ;;
    *) mount -o remount,bind,ro "$place" ;;
  esac
done
for place in / /tmp /dev/shm .; do
  if [ -d $place ] && touch $place/written 2>/dev/null; then echo "$place can be written"; exit 1; fi
done
touch logs/written
exec "$@"
"""


def test_it_starts_answers_logs_and_watches(pulled, tmp_path):
    place, said = tmp_path / "place", tmp_path / "said"
    (place / "logs").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", place)
    shutil.copytree(pulled / "models", place / "models")
    command = [*NAMESPACE, "sh", "-ec", SCRIPT, "sh", "python", "-m", "monitoring.serve", "--port", "0"]
    with started(command, place, pulled.env | {"PYTHONPATH": str(ROOT)}, said) as service:
        url = service.ready()
        images = np.random.default_rng(0).integers(0, 256, (120, 28, 28), np.uint8)
        assert client.Served(url, "workspace").probabilities(images).shape == (120, 10)
        wait_for(lambda: state.read(place / state.path("production")).windows or service.process.poll() is not None)
        assert service.end() == 0, service.said
    assert "Traceback" not in service.said
    assert "error" not in service.said
    engine = connect(f"sqlite:///{place / 'logs/production.db'}")
    assert History(engine).count() == 120
    engine.dispose()
    # Not even while it ran.
    assert {path.name for path in place.iterdir()} == {"logs", "models", "params.yaml"}
