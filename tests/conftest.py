import os
import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch

from digits.architecture import ModelParams
from digits.params import parse
from digits.recipe import TrainParams, pin_cpu
from tests import synthetic
from tests.prepared import prepared

# Files of minutes each, whose tests share a cluster.
LONGEST = ("test_scaling_faults", "test_sweep", "test_scaling_keep", "test_experiments")

torch.set_num_threads(1)
with mock.patch.dict(os.environ):
    # What torch computes first settles the instructions of a process: those of the stages, whatever test is first.
    pin_cpu(parse(TrainParams, synthetic.PARAMS["train"], "train"))
    torch.nn.functional.conv2d(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 3, 3)).flatten(1) @ torch.ones(49, 9)
os.environ["DVC_TEST"] = "true"  # else each `dvc` leaves two processes behind, which report to its makers


def pytest_collection_modifyitems(items):
    """What takes minutes comes first, so that at the end no process is left alone with it."""
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, item.path.stem not in LONGEST))


@pytest.fixture(autouse=True)
def _as_it_was():
    """Stages pin threads, determinism and environment for their own process, which here is everybody's."""
    with mock.patch.dict(os.environ):
        yield
    torch.set_deterministic_debug_mode("default")  # as stages.train sets it: the other function imports the compiler
    torch.set_num_threads(1)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder with params.yaml, as the working folder."""
    synthetic.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder in which all stages after fetch have run, on synthetic images. Do not change it."""

    def prepare(folder):
        from stages import check, evaluate, export, preprocess, train

        images = synthetic.digits(1100, seed=1), synthetic.digits(300, seed=2)
        synthetic.write_archives(folder / "data/raw/MNIST", *images)
        synthetic.write_params(folder)
        synthetic.write_production(folder / "data/production")
        with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ):
            patch.chdir(folder)
            for stage in (preprocess, train, export, evaluate, check):
                stage.main()

    return prepared(tmp_path_factory, "finished", prepare)


@pytest.fixture
def pipeline(finished, tmp_path, monkeypatch):
    """A copy of the finished folder, as the working folder."""
    folder = shutil.copytree(finished, tmp_path / "pipeline")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def model_params() -> ModelParams:
    return parse(ModelParams, synthetic.PARAMS["model"], "model")


@pytest.fixture
def train_params() -> TrainParams:
    return parse(TrainParams, synthetic.PARAMS["train"], "train")
