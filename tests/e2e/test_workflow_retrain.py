"""The way from an alert to a pull request, executed: monitor, export, dispatch, .github/workflows/retrain.yml."""

import json
import re

import numpy as np
import pytest
import yaml

from delivery.log import PredictionLog, Scored
from digits import production
from digits.dataset import Labelled
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays
from monitoring import dispatches
from monitoring.dispatches import Dispatch, Dispatches
from monitoring.shifts import rotated
from reporting.markdown import code
from tests.e2e.github.server import HERE, Server
from tests.e2e.tables import rows

pytestmark = pytest.mark.e2e

RETRAINED = ("preprocess", "train", "export", "evaluate", "check")
COMPARED = ("images", "champion", "challenger", "points", "newly right", "newly wrong", "p, one-sided")
BRANCH, FUTURE = "feedback/20200102T173000Z", "feedback/99981231T000000Z"
HOSTILE = "`touch owned` $(touch owned)\n::error::x | <img src=x> @all"


def labelled(project, name: str) -> Labelled:
    return Labelled(*read_arrays(project / f"data/prepared/{name}.npz", "images", "labels"))


def turned(data: Labelled) -> Labelled:
    return Labelled(rotated(data.images, 30), data.labels)


def accuracy(project, data: Labelled) -> float:
    """Of the project's model, in per cent."""
    right = OnnxModel(project / "models/model.onnx").probabilities(data.images).argmax(1) == data.labels
    return 100 * float(right.mean())


class Monitored:
    """A project whose log holds labelled traffic, and that is its own origin."""

    def __init__(self, project, folder) -> None:
        self.project, self.server = project, Server(project, folder / "github")
        project.git("config", f"url.file://{project.path}.insteadOf", "https://github.com/example/mnist")
        self.env = {
            "PATH": f"{HERE / 'bin'}:{project.env['PATH']}",
            "GH_TOKEN": "token-may-write",
            "STAND_IN_RECORD": str(self.server.record),
            "GITHUB_REPOSITORY": "example/mnist",
        }

    def log(self, traffic: Labelled) -> None:
        """Predictions, each labelled by one of five people."""
        model = OnnxModel(self.project / "models/model.onnx")
        log = PredictionLog(f"sqlite:///{self.project / 'logs/production.db'}", "production")
        for start in range(0, len(traffic.labels), 100):
            part = Labelled(*(array[start : start + 100] for array in traffic))
            probabilities = model.probabilities(part.images)
            scored = Scored("workspace", part.images, probabilities, probabilities.argmax(1).tolist())
            for place, key in enumerate(log.append(scored)):
                log.feedback(key, int(part.labels[place]), f"person {place % 5}", f"10.0.0.{place % 5}")
        log.close()

    def says(self, module: str, *options: str) -> str:
        return self.project.run("python", "-m", f"monitoring.{module}", "--stage=production", *options, env=self.env)

    def retrain(self, payload: dict):
        return self.server.run("retrain", "repository_dispatch", {"action": "retrain", "client_payload": payload})


@pytest.fixture(scope="module")
def monitored(pushed, tmp_path_factory):
    """On main, with rotated traffic in its log, and everything that followed from it done."""
    folder = tmp_path_factory.mktemp("retraining")
    made = Monitored(pushed.copy(folder / "project"), folder)
    # Validation images: of those that the model is tested on, none may come in for training.
    made.log(turned(labelled(made.project, "validation").take(np.arange(1500))))
    made.project.change({"monitoring.settle_seconds": 0})
    made.watched = made.says("watch")
    made.project.git("checkout", "params.yaml")
    made.started = made.says("retrain", "--dispatch")
    (made.request,) = made.server.sent()
    payload = made.request["client_payload"]
    # As sent, and with what whoever may send one could add: it stays text on its way into the pull request.
    made.given = {key: f"{payload[key]} {HOSTILE}" for key in ("alert", "reason")}
    made.run = made.retrain(payload | made.given)
    return made


@pytest.fixture(scope="module")
def proposed(monitored, tmp_path_factory):
    """A colleague's clone of what was proposed."""
    clone = monitored.project.clone(tmp_path_factory.mktemp("proposed") / "project")
    clone.git("checkout", "--quiet", monitored.server.pulls()[0]["head"])
    clone.dvc("pull")
    return clone


def test_an_alert_starts_the_workflow_with_what_was_exported(monitored):
    assert "FIRING alert" in monitored.watched
    assert "labels show harm" in monitored.started
    assert monitored.request["event_type"] == "retrain"
    payload = monitored.request["client_payload"]
    assert re.fullmatch(r"feedback/\d{8}T\d{6}Z", payload["branch"])
    assert re.match(r"alert \d, (concept drift|accuracy) of workspace: ", payload["reason"])
    assert monitored.run.passed, monitored.run.output
    assert monitored.run.stages == RETRAINED


def test_the_challenger_is_proposed_with_both_comparisons(monitored):
    (pull,) = monitored.server.pulls()
    assert (pull["base"], pull["title"]) == ("main", "Retrained on production data")
    body, payload = pull["body"], monitored.request["client_payload"]
    assert re.match(
        r"## ✅ Retrained on production data(?:, not shown to be worse)?: "
        r"[\d.]+ to [\d.]+ % \(\d+ gained, \d+ lost\) on original ",
        body,
    )
    lines = [f"- {key}: {code(value, 500)}\n" for key, value in monitored.given.items()]
    assert f"{''.join(lines)}- data: `{payload['branch']}`\n" in body
    assert not list(monitored.server.folder.parent.rglob("owned"))
    clean, held_out = rows(body, *COMPARED)
    assert clean[0] == "10,000 original test images"
    assert re.fullmatch(r"[\d,]+ production images held out", held_out[0])
    assert float(held_out[3]) > 5
    assert "Where the production data is from" in body
    report = body.partition("Where the production data is from")[2]
    assert "**Test accuracy 9" in report
    assert "Mend it" not in report
    assert monitored.run.summary.rstrip("\n") == body
    assert monitored.server.dispatched() == [{"file": "ml-pipeline.yml", "ref": pull["head"], "inputs": {}}]


def test_what_is_proposed_is_complete_and_holds_results_alone(monitored, proposed):
    changed = proposed.git("diff", "--name-only", "origin/main...HEAD").split()
    assert {path for path in changed if not path.startswith((".dvcstore/files/md5/", "results/"))} == {
        "dvc.lock",
        "data/production.dvc",
    }
    assert proposed.git("rev-list", "--count", "origin/main..HEAD").strip() == "1"
    assert "dvc.lock is current" in proposed.run("python", "-m", "reporting.verify")


def test_accuracy_under_the_drift_recovers_and_on_clean_images_stays(monitored, proposed):
    test = labelled(proposed, "test")
    before, after = (accuracy(project, turned(test)) for project in (monitored.project, proposed))
    assert after - before > 5
    assert accuracy(monitored.project, test) - accuracy(proposed, test) <= 0.2


def test_the_monitor_is_told_and_the_alert_says_so(monitored):
    (status,) = monitored.server.statuses()
    assert (status["state"], status["context"]) == ("success", "retraining")
    assert status["commit"] == monitored.server.commit(monitored.request["client_payload"]["branch"])
    monitored.env["STAND_IN_STATUSES"] = json.dumps([status])
    said = monitored.says("retrain", "--dispatch")
    assert re.search(r"^alert \d, .+: retraining with feedback/\w+: proposed, [\d.]+ to ", said, re.MULTILINE)
    assert len(monitored.server.sent()) == 1


def test_a_month_gone_by_finds_whether_the_newest_branch_was_answered(monitored):
    (status,) = monitored.server.statuses()
    monitored.project.git("branch", FUTURE)  # which would be the newest for ever
    found = {}
    for state in ("success", "error"):
        env = {"STAND_IN_STATUSES": json.dumps([status | {"state": state}])}
        run = monitored.server.run("retrain", "schedule", {}, job="answered", env=env)
        assert run.passed, run.output
        found[state] = f"commit={status['commit']}" in run.output
    assert found == {"success": True, "error": False}


def export(project, data: Labelled, held_out: Labelled, branch: str = BRANCH) -> None:
    """A branch with these production images, as the export would have made it."""
    project.git("switch", "--quiet", "--create", branch)
    production.write(project / "data/production", production.Production("MNIST", data, held_out), {"labels": len(data)})
    project.dvc("add", "data/production")
    project.dvc("push", "data/production")
    project.commit("export")
    project.git("switch", "--quiet", "main")
    project.dvc("checkout", "data/production.dvc")


def test_a_month_gone_by_the_newest_branch_is_tried_and_a_challenger_that_is_worse_is_not_proposed(pushed, tmp_path):
    made = Monitored(pushed.copy(tmp_path / "project"), tmp_path)
    images = turned(labelled(made.project, "validation").take(np.arange(1500)))
    poisoned = Labelled(images.images, (images.labels + 1) % 10)
    export(made.project, poisoned.take(np.arange(1200)), poisoned.take(np.arange(1200, 1500)))
    made.project.git("branch", FUTURE)
    run = made.server.run("retrain", "schedule", {}, env={"STAND_IN_STATUSES": "[]"})

    assert run.passed, run.output
    assert run.stages == RETRAINED
    assert (made.server.pulls(), made.server.dispatched()) == ([], [])
    assert run.steps["Say that nothing is proposed"] == "success"
    assert run.summary.startswith("## ❌ Not proposed: worse: ")
    assert f"\n\n- reason: `schedule`\n- data: `{BRANCH}`\n" in run.summary
    clean, held_out = rows(run.summary, *COMPARED)
    assert float(clean[3]) < -1
    assert float(held_out[3]) > 1  # which are wrong in the same way: of those alone, it looks like a better one
    (status,) = made.server.statuses()
    assert status["state"] == "failure"
    assert re.match(r"worse: \d\d\.\d\d to \d\d\.\d\d % \(.+ lost\) on original test images", status["description"])
    assert status["commit"] == made.server.commit(BRANCH)
    made.env["STAND_IN_STATUSES"] = json.dumps([status])
    path = made.project / dispatches.path("production")
    dispatches.write(path, Dispatches().with_(Dispatch((), "by hand", 0, BRANCH, status["commit"], sent=True)))
    made.says("retrain")
    (known,) = dispatches.read(path).dispatches
    assert str(known).startswith(f"retraining with {BRANCH}: not proposed, {status['description']}")


@pytest.mark.parametrize(
    ("branch", "pointer", "said"),
    [
        ("feedback/x`touch owned`$(touch owned)", None, "is no branch of the export"),
        (BRANCH, {"cmd": "touch owned"}, "is not in the form that the export writes"),
    ],
    ids=["a name with a command", "a pointer with a command"],
)
def test_a_request_that_is_not_the_export_s_runs_nothing(pushed, tmp_path, branch, pointer, said):
    project = pushed.copy(tmp_path / "project")
    server = Server(project, tmp_path / "github")
    if pointer:
        project.git("switch", "--quiet", "--create", branch)
        content = yaml.safe_load((project / "data/production.dvc").read_text())
        (project / "data/production.dvc").write_text(yaml.safe_dump(content | pointer))
        project.commit("a pointer of one's own")
        project.git("switch", "--quiet", "main")
    payload = {"branch": branch, "reason": "why", "stage": "production"}
    if pointer:
        run = server.run("retrain", "repository_dispatch", {"action": "retrain", "client_payload": payload})
    else:
        run = server.run("retrain", "workflow_dispatch", {"inputs": payload})

    assert run.failed == ["Take the data"]
    assert said in run.output
    assert run.stages == ()
    assert (server.pulls(), server.statuses(), server.dispatched()) == ([], [], [])
    assert not list(tmp_path.rglob("owned"))
