"""kill -9 between any two steps of a reconciliation: what is in place is whole, and the next run makes up for it."""

import json
import os
import subprocess
import sys

import pytest

from tests.delivery.crashes import BAD, DAMAGED, REFUSED, SCENARIOS
from tests.delivery.released import ROOT

# What is in place and served before, and what has to be in the end, with the end of the error.
OUTCOMES = {
    "the first version": (None, "v0.1.0", None),
    "another version": ("v0.1.0", "v0.2.0", None),
    "a version that is there, but damaged": ("v0.1.0", DAMAGED, None),
    "back to the last one": ("v0.2.0", "v0.1.0", None),
    "a version that fails its smoke test": ("v0.1.0", "v0.1.0", "the smoke test failed"),
    "a version that is refused": ("v0.1.0", "v0.1.0", "refused"),
    "a first version that is refused": (None, None, "refused"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    command = [sys.executable, "-m", "tests.delivery.crashes", tmp_path_factory.mktemp("crashes")]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # so that it is one thread that forks
    answer = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_all_scenarios_have_an_outcome(found):
    assert OUTCOMES.keys() == SCENARIOS.keys() == found.keys()
    assert all(len(points) > 15 for points in found.values())


@pytest.mark.parametrize("scenario", OUTCOMES)
def test_what_is_in_place_is_whole_wherever_it_ends(found, scenario):
    before, assigned = OUTCOMES[scenario][0], SCENARIOS[scenario][-1]
    for point, entry in enumerate(found[scenario]):
        left = entry["left"]
        assert left["current"] in (before, assigned), point
        assert left["served"] in (before, assigned), point
        assert (left["current"], left["served"]) != (before, assigned) or before == assigned, point
        if assigned == BAD:
            assert left["current"] == before
        if assigned == REFUSED:
            assert left["served"] == before


@pytest.mark.parametrize("scenario", OUTCOMES)
def test_the_next_run_comes_to_the_end_that_an_undisturbed_one_comes_to(found, scenario):
    _, after, error = OUTCOMES[scenario]
    *_, undisturbed = found[scenario]
    for point, entry in enumerate(found[scenario]):
        then = entry["then"]
        assert (then["current"], then["served"], then["status"]["current"]) == (after, after, after), point
        assert then["status"]["error"] == error, point
        assert then["remains"] == [], point
        assert then["versions"] == undisturbed["then"]["versions"], point
