import sys

import pytest

from scaling import frontier
from scaling.experiments import experiments
from scaling.picture import Dot, draw, specification
from scaling.records import SWEEPS
from tests import synthetic
from tests.scaling import lab


@pytest.fixture(autouse=True)
def _repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)


def trial(number: int, parameters: int, accuracy: float, **changes: object) -> dict[str, object]:
    settings = {"model.channels": [4, number + 1], "train.learning_rate": 0.05}
    return lab.record(f"{number:05}", settings, parameters=parameters, validation_accuracy=accuracy, **changes)


def test_seeds_of_the_same_params_are_one_point():
    for seed, accuracy in ((0, 0.97), (1, 0.99)):
        lab.experiment(f"a-{seed}", {"train.seed": seed}, test=accuracy)
    lab.experiment("b", {"model.channels": [4, 4], "train.seed": 0}, test=0.9, parameters=300)
    small, large = frontier.points(experiments())
    assert (small.names, small.parameters, small.test) == (("b",), 300, (0.9,))
    assert set(large.names) == {"a-0", "a-1"}
    assert large.mean == pytest.approx(0.98)
    assert large.network == "Conv5 4, pool 3, Conv3 8, pool 2"


def test_an_experiment_that_was_not_evaluated_is_no_point():
    assert frontier.points({"bare": lab.git("rev-parse", "HEAD")}) == []


def test_table_and_picture_of_a_sweep(capsys, monkeypatch):
    lab.sweep(
        "night",
        trial(0, 900, 0.97),
        trial(1, 500, 0.96),
        trial(2, 950, 0.965),
        trial(3, 100, 0.5, state="stopped"),
        lab.record("00004", state="failed", parameters=None, validation_accuracy=None),
    )
    for seed, accuracy in ((0, 0.961), (1, 0.964)):
        label = "sweep-night-00000" + (f"-seed{seed}" if seed else "")
        lab.experiment(label, {"model.channels": [4, 1], "train.seed": seed}, test=accuracy, parameters=900)
    lab.experiment("sweep-night-00002", {"model.channels": [4, 3]}, test=0.955, parameters=950)
    lab.experiment("sweep-night2-00001", {"model.channels": [4, 2]}, test=0.5, parameters=500)  # another sweep's
    monkeypatch.setattr(sys, "argv", ["frontier", "--sweep=night"])
    frontier.main()
    text = (SWEEPS / "night/frontier.md").read_text()
    assert text.splitlines()[2:5] == [
        "| 500 | 00001 | Conv5 4, pool 3, Conv3 2, pool 2; learning_rate 0.05 | **96.00%** | - |",
        "| 900 | 00000 | Conv5 4, pool 3, Conv3 1, pool 2; learning_rate 0.05 | **97.00%** "
        "| 96.25% (96.10% to 96.40%, 2 seeds) |",
        "| 950 | 00002 | Conv5 4, pool 3, Conv3 3, pool 2; learning_rate 0.05 | 96.50% | 95.50% |",
    ]
    assert "5 trials: 3 finished, 1 stopped, 1 failed." in text
    assert "for the 2 that were kept" in text
    assert text in capsys.readouterr().out
    assert (SWEEPS / "night/frontier.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_sweep_of_which_nothing_finished_has_a_table_and_no_picture(capsys):
    lab.sweep("night", trial(0, 900, 0.5, state="stopped"))
    folder = frontier.write("night")
    assert "1 trials: 0 finished, 1 stopped, 0 failed" in (folder / "frontier.md").read_text()
    assert not (folder / "frontier.png").exists()


def shown(content: dict, mark: str) -> list[dict]:
    """Rows of the layers with a mark."""
    layers = [layer for layer in content["layer"] if layer["mark"]["type"] == mark]
    return [row for layer in layers for row in layer["data"]["values"]]


DOTS = [Dot(400, 0.96, 0.95, 0.97), Dot(1000, 0.985, 0.98, 0.99), Dot(1100, 0.98, 0.975, 0.986)]


def test_a_picture_of_networks_joins_those_that_no_smaller_one_beats():
    content = specification("networks", DOTS)
    assert [row["parameters"] for row in shown(content, "line")] == [400, 1000]
    assert [row["label"] for row in shown(content, "text")] == ["96.00 %", "98.50 %", ""]
    assert shown(content, "rule")[0]["low"] == pytest.approx(3)
    assert shown(content, "rule")[0]["high"] == pytest.approx(5)


def test_a_picture_of_a_sweep_has_trials_and_their_frontier_beside_what_was_kept():
    trials = [(300, 0.9), (500, 0.98), (600, 0.97), (700, 1.0)]
    content = specification("sweep", DOTS[:1], trials)
    assert [row["parameters"] for row in shown(content, "line")] == [300, 500, 700]
    assert len(shown(content, "point")) == 5
    assert min(row["error"] for row in shown(content, "line")) > 0  # its logarithm is drawn


@pytest.mark.parametrize(
    ("dots", "trials"), [(DOTS, []), (DOTS[:1], []), ([], [(500, 0.99)]), ([], [(500, 0.99)] * 2), (DOTS, [(500, 0.1)])]
)
def test_few_points_are_drawn_as_many_are(dots, trials):
    content = specification("few", dots, trials)
    for layer in content["layer"]:
        for axis in (layer["encoding"]["x"], layer["encoding"]["y"]):
            low, high = axis["scale"]["domain"]
            assert low < high
            assert len([tick for tick in axis["axis"]["values"] if low <= tick <= high]) >= 2
    assert draw("few", dots, trials)[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_network_is_described_with_its_paddings(model_params):
    assert frontier.describe(model_params) == "Conv5 4, pool 3, Conv3 8, pool 2"
    assert synthetic.PARAMS["model"]["paddings"] == [0, 0]
