import sys

import pytest

from digits.errors import PipelineError
from scaling import device, keep, running
from scaling.experiments import ExperimentError, experiments, measured
from scaling.keep import KeepError
from scaling.nodes import versions
from tests.scaling import lab


@pytest.fixture(autouse=True)
def _repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)
    monkeypatch.setattr(device, "here", lambda params: "cpu, AVX2")


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

    monkeypatch.setattr(running, "pipeline", pipeline)
    return made


def rate(value: float) -> dict[str, object]:
    return {"train.learning_rate": value}


def test_trials_become_experiments_that_equal_them(runs, capsys):
    lab.sweep("night", lab.record("00000", rate(0.1)), lab.record("00001", rate(0.2) | {"model.channels": [4, 8]}))
    kept = keep.keep("night", 5)
    assert runs.keys() == experiments().keys() == {"sweep-night-00000", "sweep-night-00001"}
    assert [(item.differences, item.problem) for item in kept] == [([], None)] * 2
    assert measured(experiments()["sweep-night-00001"]).train.learning_rate == 0.2
    out = capsys.readouterr().out
    assert out.count("loss and validation accuracies equal to the bit; 500 parameters, test accuracy 95.00%") == 2
    assert "dvc exp apply sweep-night-00000" in out


SIZES = [
    lab.record("00000", rate(0.1), parameters=500, validation_accuracy=0.95),
    lab.record("00001", rate(0.2), parameters=900, validation_accuracy=0.97),
    lab.record("00002", rate(0.3), parameters=950, validation_accuracy=0.96),  # beaten by one that is smaller
    lab.record("00003", rate(0.4), parameters=9000, validation_accuracy=0.99),
]


@pytest.mark.parametrize(
    ("options", "space", "labels"),
    [
        (["--best=2"], {}, ["00003", "00001"]),
        (["--best=2", "--frontier"], {}, ["00000", "00003"]),
        (["--best=2"], {"objective": "frontier"}, ["00000", "00003"]),
        (["--frontier"], {"objective": "accuracy"}, ["00000", "00001", "00003"]),
    ],
)
def test_the_best_of_each_size_are_kept_where_they_are_wanted(monkeypatch, runs, options, space, labels):
    lab.sweep("night", *SIZES, space=space)
    monkeypatch.setattr(sys, "argv", ["keep", "--sweep=night", *options])
    with pytest.raises(KeepError):  # what `runs` found is another network, each time of 500 parameters
        keep.main()
    assert list(runs) == [f"sweep-night-{label}" for label in labels]


def test_what_is_kept_of_a_frontier_is_told_with_its_size(runs, capsys):
    lab.sweep("night", *SIZES)
    keep.keep("night", 2, frontier=True)
    told = "sweep-night-00000: best validation accuracy with at most 500 parameters, 95.00%"
    assert told in capsys.readouterr().out


def test_what_is_kept_already_is_not_run_again(runs):
    lab.sweep("night", lab.record("00000", rate(0.1)), lab.record("00001", rate(0.2)))
    keep.keep("night", 1)
    assert runs.pop("sweep-night-00000")
    assert [item.name for item in keep.keep("night", 2)] == ["sweep-night-00000", "sweep-night-00001"]
    assert runs.keys() == {"sweep-night-00001"}


def test_how_long_the_rest_takes_is_said(runs, capsys):
    lab.sweep("night", *(lab.record(f"{number:05}", rate(0.1 + number / 10)) for number in range(3)))
    runs.fail = ("sweep-night-00001",)
    keep.keep("night", 3, seeds=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert [line.endswith("about 1 min to go") for line in lines] == [True, True, True, True, False]
    assert "FAILED" in lines[2]


def test_ctrl_c_says_that_the_same_command_goes_on(runs, capsys, monkeypatch):
    lab.sweep("night", lab.record("00000", rate(0.1)))
    monkeypatch.setattr(running, "pipeline", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(sys, "argv", ["keep", "--sweep=night"])
    with pytest.raises(SystemExit, match="130"):
        keep.main()
    assert capsys.readouterr().err == "\ninterrupted; what was kept is there, the same command goes on with the rest\n"


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
        ({"loss": 0.340001}, "training loss 0.340001, not 0.34"),
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
        lab.record("00000", settings, node="another", device="cuda, NVIDIA A100"),
        versions=versions() | {"torch": "2.0.0", "ray": "1.0.0", "optuna": "1.0.0"},
        data={"data/train.npz": "2"},
    )
    (tmp_path / lab.CODE).write_text("one = 2\n")
    before = lab.git("rev-parse", "HEAD")
    lab.commit()
    runs.found = {"validation": 0.955}
    monkeypatch.setattr(sys, "argv", ["keep", "--sweep=night"])
    keep.main()
    out = capsys.readouterr().out
    assert f"the sweep had torch 2.0.0, here it is {versions()['torch']}" in out
    assert "data/train.npz is not what the sweep had" in out
    assert f"digits/code.py is not as in commit {before[:7]}, with which the sweep ran" in out
    assert "the trial computed with cuda, NVIDIA A100, here it is cpu, AVX2" in out
    assert "train.instructions: native" in out
    for name in ("python", "numpy", "ray", "optuna"):
        assert f"the sweep had {name}" not in out


def test_another_machine_or_device_alone_is_no_excuse(runs):
    lab.sweep("machine", lab.record("00000", rate(0.1), node="another:1"))
    lab.sweep("device", lab.record("00000", rate(0.1), device="cuda, NVIDIA A100"))
    runs.found = {"loss": 0.5}
    assert keep.keep("machine", 1)[0].reasons == []
    assert keep.keep("device", 1)[0].reasons != []
    runs.found = {"validation": 0.945}  # more than rounding leads to
    lab.sweep("apart", lab.record("00000", rate(0.1), device="cuda, NVIDIA A100"))
    assert keep.keep("apart", 1)[0].reasons == []
    runs.found = {"parameters": 501}
    lab.sweep("network", lab.record("00000", rate(0.1), device="cuda, NVIDIA A100"))
    assert keep.keep("network", 1)[0].reasons == []


def test_code_that_was_not_committed_is_known_as_well(runs, capsys, tmp_path, monkeypatch):
    (tmp_path / lab.CODE).write_text("one = 2\n")
    lab.sweep("night", lab.record("00000", {"train.instructions": "native"}, node="another:1"))
    lab.git("checkout", "--quiet", lab.CODE)
    runs.found = {"validation": 0.955}
    assert "are not the code that the sweep ran with" in "".join(keep.keep("night", 1)[0].reasons)
    (tmp_path / lab.CODE).write_text("one = 2\n")
    lab.commit()
    monkeypatch.setattr(running, "experiments", dict)  # so that it runs again, from here
    assert keep.keep("night", 1)[0].reasons == ["train.instructions: native computes as each processor does it best"]


def test_a_commit_that_is_not_here_hinders_no_comparison(runs, tmp_path):
    runs.found = {"loss": 0.5}
    lab.sweep("same", lab.record("00000", rate(0.1)), commit="c" * 40)
    assert keep.keep("same", 1)[0].reasons == []
    lab.sweep("other", lab.record("00000", rate(0.1)), commit="c" * 40, code="0" * 32)
    assert keep.keep("other", 1)[0].reasons == ["digits, stages, scaling are not the code that the sweep ran with"]


def test_another_text_of_what_trains_nothing_is_no_excuse(runs, tmp_path):
    lab.sweep("night", lab.record("00000", rate(0.1)))
    for path in ("digits/other.py", "scaling/picture.py", "stages/check.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("two = 2\n")
    lab.commit()
    runs.found = {"loss": 0.5}
    kept = keep.keep("night", 1)
    assert kept[0].reasons == []
    with pytest.raises(KeepError):
        keep.verify(kept)


def test_an_experiment_of_other_code_is_not_taken_for_one_of_this(runs, tmp_path):
    lab.sweep("night", lab.record("00000", rate(0.1)))
    keep.keep("night", 1)
    (tmp_path / lab.CODE).write_text("one = 2\n")
    lab.commit()
    (again,) = keep.keep("night", 1)
    message = "sweep-night-00000: there is an experiment of this name by another digits/code.py; go back to that, "
    assert again.problem.startswith(message)


def test_more_seeds_are_experiments_of_their_own(runs, capsys):
    lab.sweep("night", lab.record("00000", rate(0.1) | {"train.seed": 1}))
    keep.keep("night", 1, seeds=3)
    assert {label: settings["train.seed"] for label, settings in runs.items()} == {
        "sweep-night-00000": 1,
        "sweep-night-00000-seed0": 0,
        "sweep-night-00000-seed2": 2,
    }


def test_a_seed_that_fails_is_an_error_and_the_others_go_on(runs, capsys, monkeypatch):
    lab.sweep("night", lab.record("00000", rate(0.1)))
    runs.fail = ("sweep-night-00000-seed1",)
    monkeypatch.setattr(sys, "argv", ["keep", "--sweep=night", "--seeds=3"])
    with pytest.raises(KeepError, match=r"see above: sweep-night-00000-seed1$"):
        keep.main()
    out = capsys.readouterr().out
    assert "sweep-night-00000-seed1: FAILED: the loss became nan" in out
    assert "sweep-night-00000-seed2: validation accuracy 96.00%, test accuracy 95.00%" in out


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
