import json
import os
import re
from pathlib import Path

import pytest
import torch

from digits import training
from digits.params import load
from digits.recipe import TrainParams
from scaling import device, settings, trial
from scaling.nodes import NodeError
from scaling.trial import Training
from stages import train
from tests import synthetic


@pytest.fixture
def worker(pipeline, monkeypatch):
    """A worker as Tune makes one, but in this process, and without Ray."""
    monkeypatch.setattr(trial, "prepare_node", lambda spec: pipeline)
    monkeypatch.setattr(trial, "node", lambda: "here:1")
    monkeypatch.setattr(trial, "gpus", list)

    def made(**values):
        worker = Training.__new__(Training)
        worker.setup(config(**values), spec=None, base=settings.base(), pause=0.0)
        return worker

    return made


def config(number=0, **values):
    return {"trial": f"{number:05}", "settings": json.dumps({f"train.{key}": value for key, value in values.items()})}


def recipe() -> TrainParams:
    return load(TrainParams, "train")


def steps(worker) -> list:
    results = [worker.step()]
    while not results[-1]["done"]:
        results.append(worker.step())
    return results


def of_the_stage(**values) -> tuple[float, float, int]:
    """What the pipeline's stage comes to with the same settings."""
    synthetic.write_params(Path(), train=values)
    train.main()
    metrics = json.loads(Path("results/train/metrics.json").read_text())
    lines = Path("results/train/plots/metrics/validation/accuracy.tsv").read_text().splitlines()
    return metrics["validation"]["accuracy"], metrics["train"]["loss"], len(lines) - 1


def test_a_step_is_a_measurement_and_the_last_one_is_what_the_stage_says(worker):
    begun, first, last = steps(worker(learning_rate=0.03, seed=5))
    assert (begun["outcome"], begun["percent"], begun["curve"], begun["seconds"]) == (None, 0, [], 0.0)
    assert (begun["node"], begun["place"]) == ("here:1", "here:1")
    assert (first["outcome"], first["percent"], len(first["curve"])) == (None, 50, 1)
    assert (last["outcome"], last["percent"], len(last["curve"])) == ("finished", 100, 2)
    assert last["parameters"] > 0
    assert (last["node"], last["device"]) == ("here:1", device.device(recipe()))
    found = last["validation_accuracy"], last["loss"], len(last["curve"])
    assert found == of_the_stage(learning_rate=0.03, seed=5)


def test_what_an_experiment_would_compute_with_is_known_whatever_this_process_was_set_up_for(workspace):
    pinned = device.here(recipe())
    assert re.fullmatch(r"cpu, (AVX2|DEFAULT|NO AVX)", pinned), pinned


def test_a_warm_worker_comes_to_the_same_whatever_it_did_before(worker, monkeypatch):
    fresh = steps(worker(seed=3))[-1]["curve"]
    warm = worker(seed=1, batch_size=32)
    for _ in range(2):
        warm.step()  # then it is stopped
    prepared = []
    monkeypatch.setattr(trial, "prepare_node", prepared.append)
    assert warm.reset_config(config(1, seed=3))
    assert steps(warm)[-1]["curve"] == fresh
    assert prepared == []


def test_principal_directions_are_found_once_for_the_same_pixels_and_kernel(workspace):
    asked = []

    def find(images, kernel):
        asked.append(kernel)
        return images.sum(), torch.tensor(kernel)

    found = trial.remembering(find)
    pixels = torch.arange(8.0).reshape(2, 2, 2)
    for images, kernel in ((pixels, 3), (pixels.clone(), 3), (pixels.mT, 3), (pixels, 5), (pixels + 1, 5), (pixels, 3)):
        total, of = found(images, kernel)
        assert (total, of) == (images.sum(), kernel)
    assert asked == [3, 3, 5, 5]


def test_a_worker_is_set_up_as_the_stage_is(worker):
    torch.set_num_threads(3)
    steps(worker())
    assert torch.get_num_threads() == 1
    assert torch.get_deterministic_debug_mode() == 2
    assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"


def test_a_worker_makes_no_folder_for_a_trial(worker, monkeypatch):
    made = worker()
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: pytest.fail("a full disk"))
    made._setup_logdir()


def test_a_trial_that_diverges_has_failed_with_what_it_said(worker):
    statistics = json.loads(train.STATISTICS.read_text())
    statistics["train"]["pixel_mean"] = 1e39  # infinite in the model's precision
    train.STATISTICS.write_text(json.dumps(statistics))
    _, result = steps(worker(whitening=False))
    assert result["outcome"] == "failed"
    assert result["error"].startswith("the loss became nan at step ")
    assert "lower train.learning_rate (0.05)" in result["error"]
    assert (result["validation_accuracy"], result["percent"]) == (0.0, 0)


def test_what_nobody_foresaw_is_told_and_ends_the_worker(worker, monkeypatch):
    """For it may be the worker's fault, as of a device that is lost: the next trial must not have it as well."""
    made = worker()
    made.step()
    with monkeypatch.context() as patch:
        patch.setattr(made, "_steps", iter(lambda: int("device lost"), None))
        told = made.step()
    error = "ValueError: invalid literal for int() with base 10: 'device lost'"
    assert (told["outcome"], told["done"], told["error"]) == ("broken", False, error)
    assert (told["validation_accuracy"], told["percent"]) == (0.0, 0)  # at no rung, where ASHA would stop it
    with pytest.raises(ValueError, match="device lost"):
        made.step()


def test_a_device_that_is_gone_is_no_fault_of_the_trial(worker, monkeypatch):
    made = worker()

    def gone(name):
        raise training.DeviceError("train.device: no CUDA device found; use `auto` or `cpu`")

    monkeypatch.setattr(training, "select_device", gone)
    made.step()
    result = made.step()
    assert (result["outcome"], result["error"].partition(":")[0]) == ("broken", "DeviceError")


def test_a_worker_that_can_t_use_the_gpu_that_it_was_given_refuses(worker, monkeypatch):
    synthetic.write_params(Path(), train={"device": "auto"})
    monkeypatch.setattr("torch.cuda.is_available", bool)
    made = worker()
    monkeypatch.setattr(trial, "gpus", lambda: [0])
    _, result = steps(made)
    assert result["outcome"] == "refused"
    assert result["error"].startswith(f"node here:1: has a GPU for Ray, but torch {torch.__version__} finds none; ")


@pytest.mark.parametrize(("given", "in_sight"), [([], ""), ([1], "0,1")])
def test_a_worker_that_was_given_no_gpu_sees_none(worker, monkeypatch, given, in_sight):
    """On a node that has one, its trial would else compute on it, beside those of others."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    made = worker(device="cpu")
    monkeypatch.setattr(trial, "gpus", lambda: given)
    steps(made)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == in_sight


def test_whatever_keeps_a_node_from_beginning_is_no_fault_of_the_trial(worker, monkeypatch):
    def broken(_):
        raise ImportError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(Training, "_prepare", broken)
    _, result = steps(worker())
    assert result["outcome"] == "refused"
    assert result["error"] == "node here:1: ImportError: libtorch_cpu.so: cannot open shared object file"


def test_a_node_that_can_t_work_refuses_and_tries_again_with_the_next_trial(worker, monkeypatch, pipeline):
    def refuse(spec):
        raise NodeError("node here: torch 1.0 is here, 2.0 where the sweep was started")

    monkeypatch.setattr(trial, "prepare_node", refuse)
    made = worker()
    _, result = steps(made)
    assert (result["outcome"], result["error"].partition(":")[0]) == ("refused", "node here")
    monkeypatch.setattr(trial, "prepare_node", lambda spec: pipeline)
    made.reset_config(config(0))
    assert steps(made)[-1]["outcome"] == "finished"
