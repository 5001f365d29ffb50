"""Several warm workers at once on a Ray of this machine: each is set up once, then takes trial after trial."""

import json
import sys
from collections import Counter

import pytest

pytestmark = pytest.mark.e2e

WORKERS, TRIALS = 3, 12
# Workers that load and train nothing, but write down what they do. They wait for each other with their first trial.
SCRIPT = """\
import os, sys, time
from pathlib import Path
from scaling import records, settings, tuning
from scaling.cluster import connected
from scaling.nodes import Spec
from scaling.progress import Progress
from scaling.trial import METRIC, TIME, Training

workers, trials, notes = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])

def note(what):
    with (notes / what).open("a") as file:
        file.write(f"{os.getpid()}\\n")

class Noting(Training):
    def setup(self, config, spec, base, pause):
        note("set-up")
        super().setup(config, spec, base, pause)

    def _prepare(self):
        note("loaded")
        while len((notes / "loaded").read_text().splitlines()) < workers:
            time.sleep(0.01)
        return None, None, None

    def _train(self, *_):
        note("trained")
        for count in (1, 2):
            self._state["curve"].append(0.5 * count)
            self._state |= {METRIC: 0.5 * count, TIME: 50 * count, "loss": 0.1, "parameters": 9}
            self._state["outcome"] = "finished" if count == 2 else None
            yield

tuning.Training = Noting
space = {"train.learning_rate": {"uniform": [0.1, 0.9]}}
wanted = {"space": space, "trials": trials, "seed": 0, "keep": 0, "commit": None, "data": {}, "versions": {}}
wanted["params"] = settings.base()
wanted["params"]["train"]["validations"] = 2
with records.begin("one", wanted) as journal, connected(None, 1, "cpu") as cluster:
    some = cluster._replace(cpus=cluster.workers / workers, workers=workers)
    tuning.run_trials(wanted, journal, Spec(None, None, None, {}, {}, ""), some, Progress(trials, []))
"""


def test_each_worker_is_set_up_once_and_all_take_part(checkout, tmp_path):
    project = checkout.clone(tmp_path / "project")
    notes = tmp_path / "notes"
    notes.mkdir()
    project.run(sys.executable, "-c", SCRIPT, str(WORKERS), str(TRIALS), str(notes))
    by_worker = {what: Counter((notes / what).read_text().split()) for what in ("set-up", "loaded", "trained")}
    assert len(by_worker["set-up"]) == WORKERS
    assert by_worker["set-up"] == by_worker["loaded"]
    assert set(by_worker["loaded"].values()) == {1}
    assert by_worker["trained"].keys() == by_worker["loaded"].keys()
    assert by_worker["trained"].total() == TRIALS
    records = [json.loads(line) for line in (project / "sweeps/one/trials.jsonl").read_text().splitlines()]
    assert sorted(record["trial"] for record in records) == [f"{number:05}" for number in range(TRIALS)]
    assert {tuple(record["curve"]) for record in records} == {(0.5, 1.0)}  # nothing is left of the trial before
