"""Two real processes, started by torchrun, that train on synthetic images."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from digits import distributed
from digits.distributed import ALONE, Team, TeamError, joined
from digits.training import fit
from tests.digits import team

ROOT = Path(__file__).parents[2]


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of the two has seen and become."""
    folder = tmp_path_factory.mktemp("team")
    answer = torchrun("tests.digits.team", str(folder), "train")
    assert answer.returncode == 0, answer.stderr
    return [dict(np.load(folder / f"{rank}.npz")) for rank in (0, 1)]


@pytest.fixture(scope="module")
def one():
    """The same of one process."""
    return team.trained()


def test_batches_are_those_of_one_process_and_each_takes_its_half(both, one):
    halves = [process["seen"] for process in both]
    assert [half.shape for half in halves] == [(40, 16, 1, 28, 28)] * 2
    np.testing.assert_allclose(np.concatenate(halves, axis=1), one["seen"], atol=1e-6)


def test_all_have_the_same_weights_though_they_began_with_others(both):
    assert np.array_equal(both[0]["weights"], both[1]["weights"])
    assert np.array_equal(both[0]["losses"], both[1]["losses"])


def test_they_compute_what_one_process_does(both, one):
    """But for rounding, which forty steps make larger. Normalised by halves, losses differ by up to 0.7 %."""
    np.testing.assert_allclose(both[0]["losses"], one["losses"], rtol=1e-3)
    np.testing.assert_allclose(both[0]["weights"], one["weights"], atol=0.01)
    np.testing.assert_allclose(both[0]["statistics"], one["statistics"], rtol=0.02, atol=0.01)
    np.testing.assert_array_equal(both[0]["statistics"], both[1]["statistics"])


def test_the_first_one_alone_validates(both, one):
    assert np.array_equal(np.isnan(both[0]["accuracies"]), np.isnan(one["accuracies"]))
    assert np.isnan(both[1]["accuracies"]).all()


def test_what_keeps_them_from_training_together_is_said_once(tmp_path):
    answer = torchrun("tests.digits.team", str(tmp_path), "other-images")
    message = "error: process 1 has other images than process 0: MD5 "
    assert answer.returncode != 0
    assert answer.stderr.count("error: ") == answer.stderr.count(message) == 1, answer.stderr


@pytest.mark.parametrize(
    ("model", "mean", "differs"),
    [({}, 60.0, []), ({"activation": "gelu"}, 60.0, ["params"]), ({}, 61.0, ["statistics"])],
)
def test_processes_have_to_agree_on_all_that_settles_the_result(model, mean, differs):
    first, other = (agreed({}, 60.0), agreed(model, mean))
    assert first.keys() == {"torch", "code", "params", "images", "labels", "statistics"}
    assert [name for name in first if not np.array_equal(first[name], other[name])] == differs


def agreed(model, mean):
    """On what a process wants to agree before it trains."""
    asked = {}

    class Asking(Team):
        def agree(self, **values):
            asked.update(values)

    classifier = team.new(seed=0, mean=mean, **model)
    next(fit(classifier, team.TRAIN, team.VALIDATION, team.PARAMS, Asking()))
    return asked


def test_parts_are_equal_disjoint_and_all_of_it():
    values = torch.arange(24)
    parts = [Team(rank, 3).own(values, 12) for rank in range(3)]
    assert [part.tolist() for part in parts[:2]] == [[0, 1, 2, 3, 12, 13, 14, 15], [4, 5, 6, 7, 16, 17, 18, 19]]
    assert sorted(torch.cat(parts).tolist()) == values.tolist()


@pytest.mark.parametrize(("batch", "size"), [(64, 3), (4, 4)])
def test_batch_without_equal_parts_is_refused(batch, size):
    with pytest.raises(TeamError, match=rf"^a batch of {batch} images has no equal parts of two or more for {size} "):
        Team(0, size).part(batch)


def test_one_process_has_everything_and_asks_nobody():
    values = torch.arange(6)
    assert ALONE.own(values, 3).data_ptr() == values.data_ptr()
    assert ALONE.mean(values) is values
    ALONE.agree(images=np.zeros(3))


@pytest.mark.parametrize("variables", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": "2"}])
def test_a_process_that_was_started_alone_is_a_team_of_its_own(monkeypatch, variables):
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with joined(team.PARAMS) as alone:
        assert alone is ALONE
    assert not torch.distributed.is_initialized()


@pytest.fixture
def backends(monkeypatch):
    """Backends that are asked for, in an environment of torchrun's."""
    asked = []
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.init_process_group", asked.append)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)
    monkeypatch.setattr("torch.cuda.set_device", asked.append)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(distributed, "_end_with", lambda parent: None)
    return asked


@pytest.mark.parametrize(
    ("device", "available", "asked"),
    [("auto", True, [1, "nccl"]), ("auto", False, ["gloo"]), ("cpu", True, ["gloo"]), ("cuda", True, [1, "nccl"])],
)
def test_gpus_talk_by_nccl_and_processors_by_gloo(monkeypatch, backends, device, available, asked):
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    with joined(dataclasses.replace(team.PARAMS, device=device)) as two:
        assert two == Team(0, 2)
    assert backends == asked


def test_another_number_than_that_of_the_params_is_noted(backends, capsys):
    with joined(team.PARAMS):
        assert "note: train.processes is 1, and 2 train; with train.processes: 2," in capsys.readouterr().err
    with joined(dataclasses.replace(team.PARAMS, processes=2)):
        assert capsys.readouterr().err == ""


def test_more_processes_than_gpus_are_refused(monkeypatch, backends):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with (
        pytest.raises(TeamError, match=r"^train\.processes: 2 on this machine, which has 1 CUDA devices; use fewer"),
        joined(dataclasses.replace(team.PARAMS, device="auto")),
    ):
        pass


def test_a_defect_keeps_its_traceback_and_a_lost_process_gets_a_message(monkeypatch, backends):
    monkeypatch.setattr(distributed, "_PATIENCE", 0)
    with pytest.raises(RuntimeError, match=r"^shapes"), joined(team.PARAMS):
        raise RuntimeError("shapes do not match")
    with pytest.raises(TeamError, match=r"^process 0 of 2 has lost another one"), joined(team.PARAMS):
        raise RuntimeError("[third_party/gloo/transport/tcp/pair.cc:545] Connection reset by peer")
