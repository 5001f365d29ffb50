import csv
import errno
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from digits import weights
from digits.dataset import DatasetError
from digits.errors import run
from digits.storage import read_arrays, write_arrays
from digits.training import DeviceError, DivergedError, accuracy
from stages import train
from tests import synthetic

CURVES = Path("results/train/plots/metrics")


def curve(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((CURVES / name).read_text().splitlines(), delimiter="\t"))


def tracked() -> dict[str, bytes]:
    """What dvc.lock or a diff covers."""
    return {str(path): path.read_bytes() for path in (train.WEIGHTS, *train.LIVE.rglob("*")) if path.is_file()}


def test_stored_model_has_learned(pipeline):
    model, facts = weights.load(train.WEIGHTS)
    images, labels = map(torch.from_numpy, read_arrays(train.VALIDATION, "images", "labels"))
    assert accuracy(model, images, labels) > 0.9
    assert facts == {"dataset": "MNIST", "epochs": 1, "parameters": 1142}


def test_loss_falls_along_the_epoch(pipeline):
    rows = curve("train/loss.tsv")
    assert [int(row["step"]) for row in rows] == [20, 31, 40, 60, 62]
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])


def test_rate_and_validation_accuracy_are_logged(pipeline):
    assert [row["step"] for row in curve("validation/accuracy.tsv")] == ["31", "62"]
    rates = [float(row["learning_rate"]) for row in curve("schedule/learning_rate.tsv")]
    assert max(rates) <= 0.05
    assert rates == sorted(rates, reverse=True)


def test_summary_holds_the_last_values(pipeline):
    summary = json.loads((train.LIVE / "metrics.json").read_text())
    assert summary["epochs"] == 1
    assert summary["step"] == 62
    assert summary["validation"]["accuracy"] > 0.9
    assert summary["temperature"] == pytest.approx(weights.load(train.WEIGHTS)[0].temperature.item())


def test_the_time_of_a_training_names_its_weights(pipeline):
    train.main()
    noted = json.loads(train.TIMES.read_text())
    assert noted["weights_md5"] == hashlib.md5(train.WEIGHTS.read_bytes()).hexdigest()


def test_times_stay_outside_what_is_tracked(pipeline):
    assert set(json.loads(train.TIMES.read_text())) == {"seconds", "seconds_per_epoch", "weights_md5"}
    assert not train.TIMES.is_relative_to("results")
    assert not any(b"second" in content or b"timestamp" in content for content in tracked().values())


def test_nothing_but_results_weights_and_times_is_written(pipeline):
    before = {path for path in pipeline.rglob("*") if path.is_file()}
    train.main()
    assert {path for path in pipeline.rglob("*") if path.is_file()} == before
    assert not (pipeline / "dvc.yaml").exists()


def test_same_seed_gives_the_same_bytes_and_another_seed_others(pipeline):
    first = tracked()
    assert len(first) == 5
    train.main()
    assert tracked() == first
    synthetic.write_params(pipeline, train={"seed": 1})
    train.main()
    assert tracked()[str(train.WEIGHTS)] != first[str(train.WEIGHTS)]


def test_without_calibration_the_temperature_is_one(pipeline):
    synthetic.write_params(pipeline, train={"calibration": False})
    train.main()
    assert weights.load(train.WEIGHTS)[0].temperature.item() == 1
    assert "temperature" not in json.loads((train.LIVE / "metrics.json").read_text())


def test_threads_and_instructions_are_those_of_the_params(pipeline, monkeypatch):
    monkeypatch.setattr("digits.training.fit", lambda *_: [])
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    synthetic.write_params(pipeline, train={"threads": 2})
    train.main()
    assert torch.get_num_threads() == 2
    assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
    assert torch.are_deterministic_algorithms_enabled()


def test_epochs_are_those_of_the_params(pipeline):
    synthetic.write_params(pipeline, train={"epochs": 2})
    train.main()
    assert curve("train/loss.tsv")[-1]["step"] == "124"
    assert weights.load(train.WEIGHTS)[1]["epochs"] == 2


def test_diverged_training_leaves_the_old_weights(pipeline):
    before = train.WEIGHTS.read_bytes()
    statistics = json.loads(train.STATISTICS.read_text())
    statistics["train"]["pixel_mean"] = 1e39  # infinite in the model's precision
    train.STATISTICS.write_text(json.dumps(statistics))
    synthetic.write_params(pipeline, train={"whitening": False})
    with pytest.raises(DivergedError, match=r"lower train\.learning_rate \(0\.05\)"):
        train.main()
    assert train.WEIGHTS.read_bytes() == before


def test_cuda_without_a_cuda_device_is_refused(pipeline, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    synthetic.write_params(pipeline, train={"device": "cuda"})
    with pytest.raises(DeviceError, match="no CUDA device found"):
        train.main()


def test_arrays_that_are_no_images_are_refused(pipeline):
    images, labels = read_arrays(train.TRAIN, "images", "labels")
    write_arrays(train.TRAIN, images=images[:, :20], labels=labels)
    with pytest.raises(DatasetError, match=r"^data/prepared/train\.npz: images are uint8 \(1000, 20, 28\)"):
        train.main()


def test_missing_input_is_one_message(pipeline):
    train.VALIDATION.unlink()
    with pytest.raises(SystemExit, match=r"^error: data/prepared/validation\.npz: No such file .*\n.*run `dvc repro`"):
        run(train.main)


def test_a_curve_that_does_not_fit_on_the_disk_is_named(pipeline, monkeypatch):
    weights = train.WEIGHTS.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")  # of a write, which does not know its file

    monkeypatch.setattr(train, "follow", full)
    with pytest.raises(SystemExit, match=r"^error: results/train: No space left on device\n  free some space"):
        run(train.main)
    assert train.WEIGHTS.read_bytes() == weights


def test_what_hides_pandas_gives_it_back(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    with train.without("pandas"), pytest.raises(ImportError):
        importlib.import_module("pandas")
    assert "pandas" not in sys.modules
