import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from delivery import conditions
from delivery.registry import Version
from tests.delivery.answering import SMOKE, service
from tests.delivery.tagged import Tagged
from tests.reporting.history import LABELS

COMMIT = "a" * 40
READY = {"ready": True, "stage": "staging", "version": "v0.1.0", "commit": COMMIT, "smoke": SMOKE}


def version(name="v0.1.0", commit=COMMIT):
    return Version(name, commit, f"mnist@{name}", datetime.now(UTC), "Ann", "why")


def served(answer, status=200):
    with service(answer, status) as url:
        return conditions.served(version(), "staging", url)


def test_a_version_that_is_served_and_passed_its_smoke_test_may_go_on():
    found = served(READY)
    assert found.met
    assert found.text == "v0.1.0 is served in staging, smoke test 49 of 50 images right"


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (READY | {"version": "v0.0.9"}, 200, "staging serves 'v0.0.9', not v0.1.0; deploy it with `make deploy STAGE="),
        (READY | {"commit": "b" * 40}, 200, "staging serves 'v0.1.0', not v0.1.0"),
        (READY | {"stage": "production"}, 200, "is the service of 'production', not of staging"),
        (READY | {"smoke": {**SMOKE, "passed": False}}, 200, "v0.1.0 has not passed its smoke test in staging (49 of "),
        (READY | {"smoke": {**SMOKE, "passed": "yes"}}, 200, "has not passed its smoke test"),
        (READY | {"smoke": None}, 200, "v0.1.0 has not passed its smoke test in staging (None of None images right)"),
        ({"ready": False, "reason": "no model"}, 503, "staging is not ready: no model; deploy it"),
        ({"ready": "true"}, 200, "is this the service of this project?"),
        (READY, 500, "answers 500"),
        (b"<html>", 200, "staging does not answer: "),
        ([], 200, "staging does not answer: "),
    ],
)
def test_what_is_not_served_is_said(answer, status, text):
    found = served(answer, status)
    assert not found.met
    assert text in found.text


def test_a_service_that_is_not_there_is_said():
    with service(READY) as url:
        pass
    found = conditions.served(version(), "staging", url)
    assert not found.met
    assert found.text == f"staging does not answer: nothing listens at {url}; start it with `make serve STAGE=staging`"


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Compare two models by their mistakes among 1,000 images."""
    repository = Tagged(tmp_path / "repository")
    monkeypatch.chdir(repository.path)

    def judged(before, after, margin=0.0, labels=LABELS, significance=0.05):
        commits = repository.trained("a", before), repository.trained("b", after, labels)
        made = []
        for number, commit in enumerate(commits, start=1):
            repository.tag(f"mnist@v0.{number}.0", "ab"[number - 1])
            made.append(version(f"v0.{number}.0", commit))
        return conditions.not_worse(made[1], made[0], margin, significance)

    judged.repository = repository
    return judged


def test_an_empty_stage_takes_anything():
    assert conditions.not_worse(version(), None, 0.0, 0.05).met


def test_a_better_version_may_go_on(compare):
    found = compare(range(20), range(5))
    assert found.met
    assert found.text == (
        "v0.2.0 against v0.1.0: +1.50 accuracy points "
        "(15 of 1,000 images newly right, 0 newly wrong; McNemar, p = 6.1e-05)"
    )


def test_an_equal_version_may_go_on(compare):
    assert compare(range(20), range(10, 30)).met


def test_a_version_that_is_worse_by_chance_may_go_on(compare):
    found = compare(range(20), range(18, 42))
    assert found.met
    assert found.text.endswith(", within noise")


def test_a_version_that_is_worse_by_more_than_chance_may_not(compare):
    found = compare(range(5), range(20))
    assert not found.met
    assert found.text.endswith("p = 6.1e-05): worse, by more than chance and than delivery.margin (0)")


@pytest.mark.parametrize(
    ("lost", "significance", "met"),
    [(5, 0.05, True), (6, 0.05, False), (6, 0.03, True)],  # p = 0.0625 and 0.03125
)
def test_where_chance_ends_is_what_significance_says(compare, lost, significance, met):
    assert compare([], range(lost), significance=significance).met is met


@pytest.mark.parametrize(("margin", "met"), [(1.5, True), (1.49, False)])
def test_the_margin_allows_so_many_points_whatever_the_test_says(compare, margin, met):
    assert compare(range(5), range(20), margin).met is met


def test_other_test_images_can_t_be_compared(compare):
    found = compare([], [], labels=np.flip(LABELS))
    assert not found.met
    assert found.text == "v0.2.0 and v0.1.0 can't be compared: not the same test images"


def test_predictions_that_are_nowhere_can_t_be_compared(compare):
    compare([], [1])
    shutil.rmtree(compare.repository.path / ".dvc/cache")
    old, new = (version(f"v0.{number}.0", compare.repository.commit(letter)) for number, letter in ((1, "a"), (2, "b")))
    found = conditions.not_worse(new, old, 0.0, 0.05)
    assert not found.met
    assert "v0.2.0 can't be compared with v0.1.0: mnist@v0.1.0: results/evaluate/predictions.npz" in found.text


def test_predictions_of_other_forms_can_t_be_compared(compare):
    found = compare([], [], labels=LABELS[:999])
    assert not found.met
    assert "predictions.npz of v0.2.0: (999,) labels, (1000,) answers" in found.text
