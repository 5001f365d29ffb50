import json
import sys
from pathlib import Path

import pytest

from digits.errors import PipelineError
from scaling import equality, keep
from scaling.experiments import ExperimentError, experiments, measured
from scaling.keep import KeepError
from tests.scaling import lab


@pytest.fixture(autouse=True)
def _repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)


@pytest.fixture
def runs(monkeypatch):
    """Experiments that were run, each finding what trials find, too; those named in `fail` fail."""

    class Runs(dict):
        def __init__(self) -> None:
            self.fail, self.found = (), {}

    made = Runs()

    def pipeline(label, settings):
        made[label] = dict(settings)
        if label in made.fail:
            raise ExperimentError("the loss became nan")
        return lab.experiment(label, dict(settings), **made.found)

    monkeypatch.setattr(keep, "pipeline", pipeline)
    return made


def rate(value: float) -> dict[str, object]:
    return {"train.learning_rate": value}


def test_the_best_are_finished_and_in_their_order():
    trials = [
        lab.record("00000", rate(0.1), validation_accuracy=0.98),
        lab.record("00001", rate(0.2), validation_accuracy=0.99, parameters=700),
        lab.record("00002", rate(0.3), validation_accuracy=0.99, parameters=600),
        lab.record("00003", rate(0.4), validation_accuracy=0.999, state="stopped"),
        lab.record("00004", rate(0.5), validation_accuracy=None, parameters=None, state="failed", error="nan"),
        lab.record("00005", rate(0.6), validation_accuracy=0.99, parameters=600),
    ]
    assert [record["trial"] for record in keep.best(trials, 9)] == ["00002", "00005", "00001", "00000"]
    assert [record["trial"] for record in keep.best(trials, 2)] == ["00002", "00005"]


def test_the_same_settings_are_kept_once():
    trials = [lab.record("00000", rate(0.1)), lab.record("00001", rate(0.1)), lab.record("00002", rate(0.2))]
    assert [record["trial"] for record in keep.best(trials, 2)] == ["00000", "00002"]


def test_trials_become_experiments_that_equal_them(runs, capsys):
    lab.sweep("night", lab.record("00000", rate(0.1)), lab.record("00001", rate(0.2) | {"model.channels": [4, 8]}))
    kept = keep.keep("night", 5)
    assert runs.keys() == experiments().keys() == {"sweep-night-00000", "sweep-night-00001"}
    assert [(item.differences, item.problem) for item in kept] == [([], None)] * 2
    assert measured(experiments()["sweep-night-00001"]).train.learning_rate == 0.2
    out = capsys.readouterr().out
    assert out.count("validation accuracies equal to the bit; 500 parameters, test accuracy 95.00%") == 2
    assert "dvc exp apply sweep-night-00000" in out


def test_what_is_kept_already_is_not_run_again(runs):
    lab.sweep("night", lab.record("00000", rate(0.1)), lab.record("00001", rate(0.2)))
    keep.keep("night", 1)
    assert runs.pop("sweep-night-00000")
    assert [item.name for item in keep.keep("night", 2)] == ["sweep-night-00000", "sweep-night-00001"]
    assert runs.keys() == {"sweep-night-00001"}


def test_one_that_fails_is_told_and_the_others_go_on(runs, capsys, monkeypatch):
    lab.sweep("night", lab.record("00000", rate(0.1)), lab.record("00001", rate(0.2)))
    runs.fail = ("sweep-night-00000",)
    monkeypatch.setattr(sys, "argv", ["keep", "--sweep=night"])
    with pytest.raises(KeepError, match=r"see above: sweep-night-00000$"):
        keep.main()
    assert "FAILED: the loss became nan" in capsys.readouterr().out
    assert experiments().keys() == {"sweep-night-00001"}


def test_params_are_the_sweep_s_whatever_the_workspace_has_now(runs, tmp_path):
    lab.sweep("night", lab.record("00000", rate(0.1)))
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("momentum: 0.9", "momentum: 0.5"))
    lab.commit()
    (kept,) = keep.keep("night", 1)
    assert kept.problem is None
    assert runs == {"sweep-night-00000": {"train.learning_rate": 0.1, "train.momentum": 0.9}}


def test_another_experiment_of_that_name_is_not_taken_for_it(runs):
    lab.experiment("sweep-night-00000", rate(0.3))
    lab.sweep("night", lab.record("00000", rate(0.1)))
    (kept,) = keep.keep("night", 1)
    assert "an experiment of this name with other params" in (kept.problem or "")
    assert "`dvc exp remove sweep-night-00000`" in (kept.problem or "")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"validation": 0.95}, "validation accuracy 0.95, not 0.96"),
        ({"parameters": 501}, "501 parameters, not 500"),
        ({"curve": (0.91, 0.96)}, "on the way [0.91, 0.96], not [0.9, 0.96]"),
    ],
)
def test_a_difference_without_a_reason_is_an_error(runs, capsys, monkeypatch, found, told):
    lab.sweep("night", lab.record("00000", rate(0.1)))
    runs.found = found
    monkeypatch.setattr(sys, "argv", ["keep", "--sweep=night"])
    with pytest.raises(KeepError, match="sweep-night-00000"):
        keep.main()
    assert f"NOT as the trial: {told}. Why: all that is known to change results is the same" in capsys.readouterr().out


def test_a_difference_has_its_reasons(runs, capsys, tmp_path, monkeypatch):
    settings = {"train.instructions": "native"}
    lab.sweep(
        "night",
        lab.record("00000", settings, node="another"),
        versions={"torch": "2.0.0", "python": equality.version("python")},
        data={"data/train.npz": "2"},
    )
    (tmp_path / lab.CODE).write_text("one = 2\n")
    before = lab.git("rev-parse", "HEAD")
    lab.commit()
    runs.found = {"validation": 0.95}
    monkeypatch.setattr(sys, "argv", ["keep", "--sweep=night"])
    keep.main()
    out = capsys.readouterr().out
    assert f"the sweep had torch 2.0.0, here it is {equality.version('torch')}" in out
    assert "data/train.npz is not what the sweep had" in out
    assert "digits, stages, scaling are not the code that the sweep ran with" in out
    assert f"digits/code.py is not as in commit {before[:7]}, from which the sweep was begun" in out
    assert "the trial ran on another: " in out
    assert "train.instructions: native" in out
    assert "python" not in out


def test_code_that_was_not_committed_is_known_as_well(runs, capsys, tmp_path, monkeypatch):
    (tmp_path / lab.CODE).write_text("one = 2\n")
    lab.sweep("night", lab.record("00000", {"train.instructions": "native"}))
    lab.git("checkout", "--quiet", lab.CODE)
    runs.found = {"validation": 0.95}
    assert "are not the code that the sweep ran with" in "".join(keep.keep("night", 1)[0].reasons)
    (tmp_path / lab.CODE).write_text("one = 2\n")
    lab.commit()
    monkeypatch.setattr(keep, "experiments", dict)  # so that it runs again, from here
    assert keep.keep("night", 1)[0].reasons == ["train.instructions: native computes as each processor does it best"]


def test_more_seeds_are_experiments_of_their_own(runs, capsys):
    lab.sweep("night", lab.record("00000", rate(0.1) | {"train.seed": 1}))
    keep.keep("night", 1, seeds=3)
    assert {label: settings["train.seed"] for label, settings in runs.items()} == {
        "sweep-night-00000": 1,
        "sweep-night-00000-seed0": 0,
        "sweep-night-00000-seed2": 2,
    }


@pytest.mark.parametrize("own", [0, 1, 7])
def test_so_many_seeds_as_were_asked_for(own):
    description = {"params": {"train": {"seed": 0}}}
    found = keep.others(lab.record("00000", {"train.seed": own}), description, 3)
    assert len({own, *found}) == 3


def test_a_value_that_params_yaml_could_not_hold_is_refused_before_anything_runs(runs):
    lab.sweep("night", lab.record("00000", rate(-1)))
    (kept,) = keep.keep("night", 1)
    assert "train.learning_rate: -1" in (kept.problem or "")
    assert runs == {}


def test_a_sweep_that_is_not_there(capsys):
    with pytest.raises(PipelineError, match="nothing"):
        keep.keep("nothing", 1)


@pytest.fixture
def dvc(tmp_path, monkeypatch):
    """A program of that name that notes its arguments down and fails."""
    program = tmp_path / "bin/dvc"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open('arguments', 'w'))\n"
        "[print('line', number) for number in range(30)]\nsys.exit('ERROR: failed to reproduce train')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return tmp_path / "arguments"


def test_the_pipeline_runs_beside_the_workspace_and_says_why_it_failed(dvc):
    settings = {
        "model.channels": [4, 8],
        "train.learning_rate": 1e-5,
        "train.whitening": True,
        "train.optimizer": "sgd",
    }
    with pytest.raises(ExperimentError) as error:
        keep.pipeline("night", settings)
    assert json.loads(Path(dvc).read_text()) == [
        *("exp", "run", "--temp", "--pull", "--name", "night"),
        *("--set-param=model.channels=[4,8]", "--set-param=train.learning_rate=1e-05"),
        *("--set-param=train.whitening=true", '--set-param=train.optimizer="sgd"', "evaluate"),
    ]
    assert "failed to reproduce train" in str(error.value)
    assert "line 29" in str(error.value)
    assert "line 3\n" not in str(error.value)
