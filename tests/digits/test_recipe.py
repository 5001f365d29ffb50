import dataclasses
import os

import pytest
import torch

from digits.recipe import pin_cpu, schedule, set_up_torch


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
def test_rate_rises_linearly_during_the_warm_up(train_params, kind):
    params = dataclasses.replace(train_params, schedule=kind, warmup=0.2)
    assert [schedule(params, progress) for progress in (0, 0.05, 0.1)] == pytest.approx([0, 0.25, 0.5])
    assert schedule(params, 0.2) == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("linear", [1, 0.75, 0.5, 0]), ("cosine", [1, 0.853553, 0.5, 0]), ("constant", [1, 1, 1, 1])],
)
def test_rate_falls_as_its_schedule_says(train_params, kind, expected):
    params = dataclasses.replace(train_params, schedule=kind, warmup=0.2)
    assert [schedule(params, progress) for progress in (0.2, 0.4, 0.6, 1)] == pytest.approx(expected, abs=1e-6)


def test_without_warm_up_the_rate_starts_at_its_peak(train_params):
    assert schedule(dataclasses.replace(train_params, warmup=0), 0) == 1


def test_instructions_are_pinned_to_avx2(train_params):
    pin_cpu(train_params)
    assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert os.environ["MKL_CBWR"] == "COMPATIBLE"


def test_native_instructions_leave_the_choice_to_the_libraries(train_params, monkeypatch):
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    pin_cpu(dataclasses.replace(train_params, instructions="native"))
    assert "ATEN_CPU_CAPABILITY" not in os.environ


def test_spin_count_that_is_set_already_is_kept(train_params, monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    pin_cpu(train_params)
    assert os.environ["GOMP_SPINCOUNT"] == "1"


def test_torch_refuses_what_it_cannot_repeat_on_as_many_threads_as_asked_for(train_params):
    threads = torch.get_num_threads()
    try:
        set_up_torch(dataclasses.replace(train_params, threads=threads + 1))
        assert torch.get_num_threads() == threads + 1
        assert torch.get_deterministic_debug_mode() == 2
        assert not torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.set_num_threads(threads)
