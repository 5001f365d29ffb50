import math

import optuna
import pytest

from scaling.proposals import Proposals
from scaling.settings import SpaceError, base, parameter_count, sections
from scaling.space import parse

SPACE = parse(
    {
        "train.learning_rate": {"loguniform": [0.01, 1.0]},
        "train.batch_size": {"choice": [16, 32, 64]},
        "model.channels": [{"integer": [2, 40]}, 8],
    }
)


@pytest.fixture
def proposals(workspace):
    return lambda space=SPACE, seed=0: Proposals(space, base(), seed)


def record(number, settings, state="finished", curve=(0.5, 0.9)):
    return {
        "trial": f"{number:05}",
        "settings": settings,
        "state": state,
        "validation_accuracy": curve[-1] if curve else None,
        "curve": list(curve),
    }


def accuracy(settings) -> float:
    return 1 - abs(settings["train.learning_rate"] - 0.1) - abs(settings["model.channels"][0] - 30) / 100


def played(made: Proposals, numbers, known=()) -> list:
    """What is proposed one after the other, each trial as good as `accuracy` says."""
    for ended in known:
        made.learn(ended)
    records = list(known)
    for number in numbers:
        settings = made.propose(number)
        state = ("finished", "stopped", "failed")[number % 3]
        curve = {"finished": (0.1, accuracy(settings)), "stopped": (accuracy(settings) / 2,), "failed": ()}[state]
        records.append(record(number, settings, state, curve))
        made.learn(records[-1])
    return records


def test_the_same_seed_proposes_the_same(proposals):
    assert played(proposals(), range(20)) == played(proposals(), range(20))
    assert played(proposals(), range(20)) != played(proposals(seed=1), range(20))


@pytest.mark.parametrize("killed", [3, 17])
def test_who_knows_the_records_goes_on_as_if_nothing_had_happened(proposals, killed):
    whole = played(proposals(), range(24))
    assert played(proposals(), range(killed, 24), whole[:killed]) == whole


def test_it_learns_what_is_good(proposals):
    made, records = proposals(), []
    for number in range(60):
        settings = made.propose(number)
        records.append(record(number, settings, curve=(0.1, accuracy(settings))))
        made.learn(records[-1])
    scores = [ended["validation_accuracy"] for ended in records]
    assert sum(scores[-20:]) / 20 > sum(scores[:20]) / 20 + 0.1


def test_one_that_diverged_late_ranks_below_those_that_were_stopped_early(proposals):
    for made, late in ((proposals(), proposals().propose(0)), (proposals(), None)):
        settings = late or made.propose(0)  # known from before, or proposed by itself
        made.learn(record(0, settings, "failed", (0.9, 0.9, 0.9, 0.9)))
        (trial,) = made._study.trials
        assert trial.intermediate_values == {}


def test_numbers_are_short_and_within_their_ends(proposals):
    space = parse({"train.learning_rate": {"loguniform": [0.123456, 0.123457]}, "train.warmup": {"uniform": [0, 0.9]}})
    made = proposals(space)
    for number in range(10):
        settings = made.propose(number)
        assert 0.123456 <= settings["train.learning_rate"] <= 0.123457
        assert len(f"{settings['train.warmup']}") <= len("0.0001234")
        made.learn(record(number, settings))


def test_nothing_is_tried_twice_and_all_of_a_small_space_is(proposals):
    space = parse({"train.batch_size": {"choice": [16, 32]}, "model.activation": {"choice": ["relu", "gelu"]}})
    made, tried = proposals(space), []
    while (settings := made.propose(len(tried))) is not None:
        tried.append(settings)
        made.learn(record(len(tried) - 1, settings))
    assert sorted(map(str, tried)) == sorted(
        str({"train.batch_size": size, "model.activation": name}) for size in (16, 32) for name in ("relu", "gelu")
    )


def test_what_chance_misses_of_a_small_space_is_found(proposals, monkeypatch):
    monkeypatch.setattr("scaling.proposals._ATTEMPTS", 1)
    space = parse({"train.seed": {"integer": [0, 19]}, "model.kernels": {"choice": [[5, 3], [27, 5]]}})
    made = proposals(space)
    tried = [made.propose(number) for number in range(20)]
    assert sorted(settings["train.seed"] for settings in tried) == list(range(20))
    assert {tuple(settings["model.kernels"]) for settings in tried} == {(5, 3)}
    for number, settings in enumerate(tried):
        made.learn(record(number, settings))
    assert made.propose(20) is None


def test_nothing_is_tried_twice_by_another_driver_either(proposals):
    space = parse({"train.batch_size": {"choice": [16, 32]}})
    made = proposals(space)
    made.learn(record(0, {"train.batch_size": 16}))
    assert made.propose(1) == {"train.batch_size": 32}
    assert made.propose(2) is None


def test_what_does_not_go_together_is_not_proposed(proposals):
    space = parse({"model.kernels": {"choice": [[5, 3], [27, 5]]}, "train.batch_size": {"choice": [16, 32]}})
    made = proposals(space)
    assert {tuple(made.propose(number)["model.kernels"]) for number in range(2)} == {(5, 3)}
    assert made.propose(2) is None


def test_a_space_in_which_nothing_goes_together_is_an_error(proposals):
    made = proposals(parse({"model.kernels": {"choice": [[27, 5], [3]]}}))
    with pytest.raises(SpaceError, match="nothing in the space goes together: model: "):
        made.propose(0)


LARGE = {"model.channels": [{"loginteger": [2, 200]}, 8], "train.learning_rate": {"loguniform": [0.01, 1.0]}}


def sizes(made, count=60, known=()) -> list:
    """Records of trials that are the better the larger their network, and the closer to one rate."""
    records = list(known)
    for ended in known:
        made.learn(ended)
    for number in range(len(known), count):
        settings = made.propose(number)
        size = parameter_count(sections(settings, base())[0])
        error = size**-0.5 * (1 + abs(math.log(settings["train.learning_rate"] / 0.1)))
        state = "failed" if number % 7 == 6 else "finished"
        curve = () if state == "failed" else (max(0.0, 1 - error),)
        records.append(record(number, settings, state, curve) | {"parameters": size})
        made.learn(records[-1])
    return records


def test_a_network_that_is_too_large_is_not_proposed(proposals):
    for ended in sizes(proposals(parse(LARGE | {"parameters": {"below": 5000}}))):
        assert ended["parameters"] < 5000
    assert max(ended["parameters"] for ended in sizes(proposals(parse(LARGE)))) > 5000


def test_a_space_of_which_all_is_too_large_is_an_error(proposals):
    made = proposals(parse(LARGE | {"parameters": {"below": 20}}))
    with pytest.raises(SpaceError, match=r"nothing in the space goes together: [\d,]+ parameters, not below 20"):
        made.propose(0)


def test_where_the_frontier_is_wanted_small_networks_are_proposed_as_well_as_large_ones(proposals):
    last = {}
    for objective in ("accuracy", "frontier"):
        ended = sizes(proposals(parse(LARGE | {"objective": objective})))
        last[objective] = sorted(one["parameters"] for one in ended[-30:])
    assert last["frontier"][10] < 2000 < last["accuracy"][10]
    assert last["frontier"][-1] > 5000


def test_who_knows_the_records_goes_on_with_a_frontier_as_if_nothing_had_happened(proposals):
    space = parse(LARGE | {"objective": "frontier"})
    whole = sizes(proposals(space), 24)
    assert sizes(proposals(space), 24, whole[:13]) == whole


def test_optuna_says_nothing(proposals, capfd):
    played(proposals(), range(3))
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING
