import dataclasses

import numpy as np
import pytest
from scipy import stats

from benchmarks import drift, drift_errors, drift_policy, drift_sizes
from benchmarks.drift_data import Scored, drawn
from digits.params import load
from monitoring import kolmogorov_smirnov
from monitoring.concept_drift import Cusum
from monitoring.result import Detector, Result
from monitoring.settings import MonitoringParams
from tests.benchmarks.measured import ROOT

PARAMS = load(MonitoringParams, "monitoring", ROOT / "params.yaml")


def made(count, brightness, seed=0):
    """Images of a brightness, each with its class's probability 1, and statistics that tell them apart."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, brightness, (count, 28, 28)).astype(np.uint8)
    labels = generator.integers(0, 10, count)
    return Scored(images, np.eye(10, dtype=np.float32)[labels], generator.normal(brightness, 1, (count, 8)), labels)


def test_the_level_of_a_tail_count_is_the_largest_that_the_beta_binomial_has():
    for size in drift.SIZES:
        levels = stats.betabinom(size, drift.RANK, 5000 - drift.RANK + 1).sf(np.arange(-1, size))
        assert drift.step(size, 0.05) == pytest.approx(levels[levels <= 0.05].max(), rel=1e-6)


def test_a_part_of_the_images_is_shifted():
    data = {"clean": made(100, 100), "other": made(100, 250, seed=1)}
    window = drift.mixed(data, "other", 0.1)(np.arange(99, -1, -1), 50)
    assert len(window.labels) == 50
    assert (window.statistics.mean(1) > 200).tolist() == [True] * 5 + [False] * 45
    assert (window.labels[5:] == data["clean"].labels[94:49:-1]).all()


@pytest.mark.parametrize(("part", "left"), [(1.0, 0), (0.5, 500), (0.0, 1000)])
def test_a_part_of_a_class_is_missing(part, left):
    clean = made(4000, 100)._replace(labels=np.arange(4000) % 4)
    window = drift.lacking(clean, part, np.random.default_rng(0))(np.arange(4000), 4000)
    assert abs((window.labels == 0).sum() - left) <= 60
    assert ((window.labels == 1).sum(), (window.labels == 3).sum()) == (1000, 1000)


def test_windows_are_judged_by_all_tests_against_images_that_are_not_in_them():
    clean = made(10_000, 100)
    reference, rest = drawn(clean, np.random.default_rng(0))
    assert len(reference) == len(rest) == len(set(rest)) == 5000
    assert reference.predicted.sum() == 5000
    assert (reference.predicted + np.bincount(clean.labels[rest]) == np.bincount(clean.labels)).all()
    bright = made(10_000, 250)
    for data, seen in ((clean, False), (bright, True)):
        p_values = drift.windows(
            reference, rest, lambda rest, n, data=data: data.take(rest[:n]), 100, np.random.default_rng(0)
        )
        assert p_values.shape == (drift.WINDOWS, len(drift.TESTS))
        assert (p_values[:, drift.TESTS.index("joint")].max() < 1e-6) == seen
    assert drift.shares(np.array([[0.01, 0.05], [0.2, 0.051]]), 0.05) == ["0.500", "0.500"]


def test_pixels_are_compared_by_kolmogorov_and_smirnov_ties_and_all():
    before, now = made(500, 20).images, made(60, 23, seed=1).images
    found = np.abs(drift_sizes.distribution(before) - drift_sizes.distribution(now)).max(1)
    rows = [np.sort(images.reshape(len(images), -1).T, axis=1) for images in (before, now)]
    assert found == pytest.approx(kolmogorov_smirnov.distances(*rows).statistics)


def test_principal_components_are_those_along_which_images_vary_most():
    generator = np.random.default_rng(0)
    spread = np.full(784, 5.0)
    spread[[100, 300]] = 60, 40
    images = np.clip(128 + generator.normal(0, spread, (2000, 784)), 0, 255).astype(np.uint8).reshape(-1, 28, 28)
    axes = drift_sizes.principal(images)
    assert axes.shape == (784, drift_sizes.COMPONENTS)
    assert np.abs(axes).argmax(0)[:2].tolist() == [100, 300]
    assert drift_sizes.along(images, axes).std(0)[:2] == pytest.approx([60, 40], rel=0.1)


def test_methods_stand_beside_the_paper_s():
    means = {name: np.full(7, 0.5) for name in (*drift.TESTS, drift_sizes.PIXELS, drift_sizes.PRINCIPAL)}
    names = [name for name, *_ in drift_sizes.beside(means)]
    assert names[:2] == ["**softmax outputs**", "paper: BBSDs + KS"]
    assert {name.strip("*") for name in names if "paper" not in name} == set(means)
    assert len(names) == len(set(names)) == len(means) + len(drift_sizes.PAPER)


def result(p_value, detector=Detector.DATA_DRIFT):
    return Result(detector, "test", 0.0, p_value, 100, 0.0, "effect")


@pytest.mark.parametrize(
    ("p_values", "alerts"),
    [
        ([0.5, 0.005, 0.5, 0.005], 0),
        ([0.5, 0.005, 0.005, 0.5], 1),
        ([0.0001, 0.5, 0.5, 0.0001], 2),
        ([0.0001, 0.5, 0.0001, 0.5], 1),  # not over yet
    ],
)
def test_the_policy_is_followed(p_values, alerts):
    raised = drift_policy.follow([[result(p)] for p in p_values], dataclasses.replace(PARAMS, alert=0.0005))
    assert raised == [Detector.DATA_DRIFT] * alerts


def test_all_detectors_judge_clean_traffic():
    found = list(drift_policy.judged(made(10_000, 100), np.random.default_rng(0), PARAMS))
    assert len(found) == 50
    counts = {one: sum(each.detector is one for window in found for each in window) for one in Detector}
    assert (counts[Detector.DATA_DRIFT], counts[Detector.LABEL_SHIFT], counts[Detector.ACCURACY]) == (50, 5, 25)
    assert drift_policy.follow(found, PARAMS) == []


def test_alerts_that_come_together_make_a_wide_interval():
    alone, together = [1] * 20 + [0] * 380, [10] * 2 + [0] * 398
    once, low, high = drift_policy.interval(alone)
    assert (once, low) == (20, pytest.approx(12, abs=1))
    assert high == pytest.approx(29, abs=1)
    total, least, most = drift_policy.interval(together)
    assert (total, least) == (20, 0)
    assert most >= 40
    assert drift_policy.interval([0] * 400) == (0, 0, 3)
    assert drift_policy.row("0.1", 3, [[Detector.ACCURACY], []], 2000)[:6] == ["0.1", "3", "0", "0", "0", "1"]


def test_labels_are_counted_until_the_cusum_is_alarmed():
    fresh = Cusum(**dataclasses.asdict(PARAMS.cusum))
    assert drift_errors.alarms(fresh, np.zeros(1000, bool)) == 0
    always = drift_errors.delay(fresh, 1.0, np.random.default_rng(0))
    assert 1 < always < 20
    assert drift_errors.alarms(fresh, np.ones(100 * always, bool)) == 100
    assert drift_errors.delay(fresh, 0.1, np.random.default_rng(0)) > always
