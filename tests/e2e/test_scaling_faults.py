"""Sweeps on a Ray cluster of several nodes, when things go wrong: no trial is lost, and none is counted twice."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.project import FAST, HOOKS, Project, wait_for
from tests.e2e.ray_cluster import Nodes

pytestmark = pytest.mark.e2e

TRIALS = 6
SPACE = {
    "model.channels": {"choice": [[2, 4], [2, 5], [3, 4]]},
    "train.learning_rate": {"loguniform": [0.1, 0.3]},
}
# Weights that grow ninefold with every step are soon none any more.
DIVERGING = {"train.learning_rate": {"choice": [0.2, 10.0]}, "train.weight_decay": {"choice": [0.0005, 1.0]}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, env):
    nodes = Nodes(tmp_path_factory.mktemp("nodes"), env)
    go_on(nodes).touch()
    try:
        yield nodes
    finally:
        nodes.close()


def workable(cluster: Nodes) -> Nodes:
    """The cluster with two nodes that can work, and no other."""
    for name in cluster.named.keys() - {"a", "b"}:
        cluster.remove(name)
    for name in {"a", "b"} - cluster.named.keys():
        cluster.add(name, HOLD_MEASURED=str(measured(cluster, name)), HOLD_GO_ON=str(go_on(cluster)))
    return cluster


def measured(cluster: Nodes, name: str) -> Path:
    """A file that is there once a training on that node has measured."""
    return cluster.folder / f"{name} has measured"


def go_on(cluster: Nodes) -> Path:
    """A file without which no training on these two goes on after it has measured."""
    return cluster.folder / "go on"


@pytest.fixture
def two(cluster) -> Nodes:
    return workable(cluster)


@pytest.fixture(scope="module")
def lab(checkout, tmp_path_factory) -> Project:
    """Where sweeps are started: quick to train, committed, without data. Nodes fetch from it."""
    project = checkout.clone(tmp_path_factory.mktemp("lab") / "project")
    project.change(FAST | {"train.validations": 3})
    for name, space in (("space", SPACE), ("diverging", DIVERGING)):
        (project / f"{name}.yaml").write_text(yaml.safe_dump(space))
    project.commit("quick to train")
    project.git("remote", "set-url", "origin", str(project.path))
    return project


class Sweep:
    """A sweep that goes on while the test does."""

    def __init__(self, lab: Project, cluster: Nodes, name: str, *arguments: str) -> None:
        self.folder, self.log = lab / f"sweeps/{name}", lab / f"{name}.log"
        new = ("--space=space.yaml", f"--trials={TRIALS}", "--keep=0", f"--name={name}")
        own = {
            "PAUSE": "2",
            "MNIST_NODE_CACHE": str(cluster.cache("driver")),
            "RAY_gcs_rpc_server_reconnect_timeout_s": "35",
        }
        env = lab.env | cluster.env | own
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["python", "-m", "scaling.sweep", *(arguments or new)],
                **{"cwd": lab.path, "env": env, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log},
            )

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def records(self) -> list[dict]:
        file = self.folder / "trials.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it, as long as the sweep goes on."""
        wait_for(lambda: condition() or self.ended)
        assert not self.ended, self.log.read_text()

    def wait_for(self, count: int) -> list[dict]:
        """Records, as soon as there are so many."""
        self.until(lambda: len(self.records()) >= count)
        return self.records()

    def end(self, code: int = 0) -> str:
        """What was printed, once all is done."""
        assert self.process.wait(timeout=600) == code, self.log.read_text()
        return self.log.read_text()

    def kill(self) -> None:
        if not self.ended:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def started(lab, cluster):
    """Starts sweeps, and ends those that a failing test leaves behind."""
    running = []

    def start(name: str, *arguments: str) -> Sweep:
        running.append(Sweep(lab, cluster, name, *arguments))
        return running[-1]

    yield start
    for sweep in running:
        sweep.kill()


def complete(records: list[dict], trials: int = TRIALS) -> bool:
    """Whether each trial was recorded, and none twice."""
    return sorted(record["trial"] for record in records) == [f"{number:05}" for number in range(trials)]


def test_nodes_that_can_not_work_are_refused_and_named(lab, checkout, two, started, tmp_path):
    other = lab.clone(tmp_path / "other")
    other.comment("digits/errors.py")
    other.commit("another version")
    stub = tmp_path / "stub/torch-1.2.3.dist-info/METADATA"
    stub.parent.mkdir(parents=True)
    stub.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.2.3\n")
    hooks = os.pathsep.join([str(stub.parents[1]), str(HOOKS)])
    said = two.add_full("full")
    two.add("torch", PYTHONPATH=hooks)
    two.add("code", IMPORT_FROM=str(other.path), ONLY_FROM=str(other.path))
    sweep = started("refused")
    output = sweep.end(code=1)

    assert "Traceback" not in output
    assert "the cluster can't run this sweep:\n" in output
    assert output.count("\n  node ") == 3  # and nothing of those that can work
    full = rf"node \S+: {re.escape(str(two.cache('full')))}/\S+: {said}; make room on this node \(\d+ MB"
    assert re.search(full, output), output
    assert re.search(r"node \S+: torch 1\.2\.3 is here, \d+\.\d+\.\d+\S* where the sweep was started", output)
    here, there = (project.git("rev-parse", "HEAD").strip() for project in (lab, other))
    assert f"imported here already, from {other.path}/digits: commit {there}; the sweep is of commit {here}" in output
    assert sweep.records() == []
    assert {path.name for path in two.seen("full").iterdir()} == {"lock"}
    assert (two.cache("a") / "checkouts" / here / "data/prepared/train.npz").exists()


@pytest.fixture(scope="module")
def both(lab, cluster):
    """Records and output of two sweeps at once, in one of which trials diverge."""
    workable(cluster)
    go_on(cluster).unlink()
    files = [measured(cluster, name) for name in ("a", "b")]
    for file in files:
        file.unlink(missing_ok=True)
    one = ("--space=space.yaml", f"--trials={TRIALS}", "--keep=0", "--name=one", "--workers=1")
    diverging = ("--space=diverging.yaml", "--trials=4", "--keep=0", "--name=diverging", "--workers=1")
    sweeps = [Sweep(lab, cluster, "one", *one), Sweep(lab, cluster, "diverging", *diverging)]
    try:
        for sweep in sweeps:
            sweep.until(lambda: all(file.exists() for file in files) or any(other.ended for other in sweeps))
        go_on(cluster).touch()
        return [(sweep.end(), sweep.records()) for sweep in sweeps]
    finally:
        go_on(cluster).touch()
        for sweep in sweeps:
            sweep.kill()


def test_two_sweeps_at_once_do_not_disturb_each_other(both):
    (_, one), (_, diverging) = both
    # Before any training could end, each of the two nodes had one; and neither sweep had both.
    ran_on = [{record["node"] for record in records} for records in (one, diverging)]
    assert [len(nodes) for nodes in ran_on] == [1, 1]
    assert ran_on[0] != ran_on[1]
    assert complete(one)
    assert {record["state"] for record in one} <= {"finished", "stopped"}
    assert all(record["settings"].keys() == SPACE.keys() for record in one)
    assert complete(diverging, 4)
    assert all(record["settings"].keys() == DIVERGING.keys() for record in diverging)


def test_a_trial_that_diverges_is_a_failed_one_and_no_more(both):
    output, records = both[1]
    for record in records:
        diverges = tuple(record["settings"].values()) == (10.0, 1.0)
        assert (record["state"] == "failed") == diverges, record
        assert (record["validation_accuracy"] is None) == diverges
        if diverges:
            assert re.match(r"the loss became (nan|inf) at step \d+ of \d+; lower train.learning_rate", record["error"])
    assert "finished" in {record["state"] for record in records}  # both occurred: the four trials are the whole space
    assert "1 failed" in output
    assert "NaN" not in (json.dumps(records))


def test_a_driver_that_is_killed_goes_on_where_it_was(two, started):
    killed = started("killed")
    before = killed.wait_for(2)
    killed.kill()
    before = killed.records()
    assert 2 <= len(before) < TRIALS
    two.add("full", LIMIT_FILES="1000000")
    resumed = started("killed", "--resume=killed")
    output = resumed.end()

    full = rf"warning: node \S+: {re.escape(str(two.cache('full')))}/\S+: File too large; make room on this node"
    assert len(re.findall(full, output)) == 1  # which keeps nobody from going on
    assert len(re.search(r"^nodes: (.*)$", output, re.MULTILINE)[1].split(", ")) == 2
    assert f"{len(before)} of {TRIALS} trials have ended" in output
    assert resumed.records()[: len(before)] == before
    assert complete(resumed.records())
    assert {record["state"] for record in resumed.records()} <= {"finished", "stopped"}


def test_a_node_that_is_lost_one_without_room_and_one_that_breaks_all_cost_no_trial(cluster, started, tmp_path):
    """A trial has measured once. Nodes that can't work come, then one that can; then that of the trial goes."""
    for name in [*cluster.named]:
        cluster.remove(name)
    measured = tmp_path / "measured"
    cluster.add("lost", HOLD_MEASURED=str(measured), HOLD_GO_ON=str(tmp_path / "never"))
    sweep = started("lost")
    sweep.until(measured.exists)
    cluster.add("full", LIMIT_FILES="1000000")
    sweep.until(lambda: "warning: node" in sweep.log.read_text())
    cluster.add("broken", BREAK_TRAINING="1")
    broken = (
        rf"trial (\d{{5}}) has ended on node {cluster.recorded('broken')} with RuntimeError: device lost in process "
    )
    sweep.until(lambda: re.search(broken, sweep.log.read_text()) is not None)
    cluster.add("late")
    late = cluster.recorded("late")
    before = sweep.wait_for(1)
    assert "00000" not in {record["trial"] for record in before}
    cluster.remove("lost")
    output = sweep.end()

    assert complete(sweep.records())
    assert {record["node"] for record in sweep.records()} == {late}
    assert {record["state"] for record in sweep.records()} <= {"finished", "stopped"}
    assert re.findall(r"warning: trial (\d{5}) has lost its worker on node \S+; it runs again", output) == ["00000"]
    full = rf"warning: node \S+: {re.escape(str(cluster.cache('full')))}/\S+: File too large; make room on this node"
    assert len(re.findall(full, output)) == 1  # named once, however often it hands a trial back
    processes = re.findall(rf"{broken}(\d+)", output)
    assert len({process for _, process in processes}) == len(processes)  # none had a second trial
    assert "aylet" not in output  # Ray's own log is no one's business


def test_a_head_node_that_is_lost_leaves_what_to_type_next(cluster, started):
    """The last test, for nothing is left of the cluster. Ray itself ends the driver, at other times after a minute."""
    workable(cluster)
    sweep = started("headless", "--space=space.yaml", "--trials=60", "--keep=0", "--name=headless")
    sweep.wait_for(1)
    cluster.lose_head()
    output = sweep.end(code=1)

    assert "Traceback" not in output
    warning = (
        r"warning: the cluster's head node, 127\.0\.0\.2:\d+, does not answer .+; if it stays away, Ray ends this "
    )
    assert re.search(rf"{warning}process within a minute; .+, go on with: make sweep RESUME=headless\n", output), output
    assert sweep.records()
