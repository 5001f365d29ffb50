import dataclasses

import numpy as np
import pytest

from monitoring.poisoning import FEW, allowed, judge, ranking, within_shares
from tests.monitoring.labels import params, sent, together

HONEST = together(*(sent(150, name, f"home of {name}", seed=seed) for seed, name in enumerate(["ann", "bob", "cy"])))
MANY = 10_000


def held_back(images, **changes) -> set[str]:
    """Names of those who are."""
    return {sender.name for sender in judge(images, params(**changes))[0] if sender.held_back}


def test_honest_senders_are_not_held_back():
    senders, kept = judge(HONEST, params())
    assert kept.all()
    assert {(sender.kind, sender.labels, sender.judged, sender.held_back) for sender in senders} == {
        ("client", 150, 150, False),
        ("source", 150, 150, False),
    }


@pytest.mark.parametrize(
    ("source", "client"),
    [
        ("mallory", "lair"),
        ([f"mallory{number}" for number in range(200)], "lair"),
        ("mallory", [f"lair{number}" for number in range(2)]),
        ([f"mallory{number}" for number in range(2000)], [f"lair{number}" for number in range(2000)]),
        ("ann", "lair"),
    ],
    ids=["one", "many names, one address", "two addresses", "thousands with a few labels each", "an honest one's name"],
)
@pytest.mark.parametrize("drift", [False, True])
def test_a_flood_of_wrong_labels_is_held_back_and_honest_ones_stay(source, client, drift):
    # Under drift the model is confidently wrong of 30 % of all images.
    broken = 0.3 * drift
    honest = together(
        *(sent(150, n, f"home of {n}", seed=s, broken=broken) for s, n in enumerate(["ann", "bob", "cy"]))
    )
    flood = sent(2000, source, client, wrong=1, broken=broken, seed=9)
    _, kept = judge(together(honest, flood), params())
    assert kept.tolist() == [True] * len(honest) + [False] * len(flood)


def test_ten_thousand_wrong_labels_of_one_sender_do_not_get_in():
    images = together(HONEST, sent(MANY, "mallory", "lair", wrong=1, seed=9))
    assert held_back(images) == {"lair"}


def test_where_the_model_is_wrong_others_who_say_the_same_speak_for_a_sender():
    drifted = [sent(150, name, f"home of {name}", seed=seed, broken=0.5) for seed, name in enumerate(["ann", "bob"])]
    assert held_back(together(*drifted)) == set()
    # Nobody else has seen what this one has: a person has to say that its labels are right.
    assert held_back(drifted[0]) == {"home of ann"}
    assert held_back(drifted[0], trusted=("home of ann",)) == {"ann"}
    assert held_back(drifted[0], trusted=("home of ann", "ann")) == set()


def test_a_sender_of_a_few_wrong_labels_is_not_held_back():
    assert held_back(together(HONEST, sent(300, "dan", "home of dan", wrong=0.05, seed=9))) == set()
    assert held_back(together(HONEST, sent(300, "dan", "home of dan", wrong=0.3, seed=9))) == {"home of dan"}


def test_what_contradicts_a_model_that_is_unsure_is_no_doubtful_label():
    unsure = dataclasses.replace(sent(150, wrong=1), confidence=np.full(150, 0.6))
    senders, kept = judge(unsure, params())
    assert kept.all()
    assert {(sender.judged, sender.contradicting) for sender in senders} == {(0, 0)}


def test_small_senders_are_judged_together():
    few = sent(190, [f"s{number}" for number in range(10)], [f"c{number}" for number in range(10)], wrong=1, seed=9)
    assert held_back(together(HONEST, few)) == {FEW}


def test_the_limit_of_the_guards_more_addresses_than_honest_ones_under_drift():
    """Documented: they are the majority, and what they agree on is taken for the truth."""
    honest = sent(150, "ann", "home", broken=0.5)
    crowd = sent(450, "mallory", ["lair1", "lair2", "lair3"], wrong=1, agreed=True, seed=9)
    assert held_back(together(honest, crowd), doubtful=0.2) >= {"home"}


def test_no_sender_has_more_than_its_share():
    images = together(HONEST, sent(MANY, "dan", "home of dan", seed=9))
    kept = within_shares(images, params(largest_share=0.4, always=10))
    counts = {name: int((images.sources[kept] == name).sum()) for name in ("ann", "bob", "cy", "dan")}
    assert counts == {"ann": 150, "bob": 150, "cy": 150, "dan": 300}


def test_many_names_at_one_address_are_limited_together():
    images = together(HONEST, sent(MANY, [f"dan{number}" for number in range(500)], "home of dan", seed=9))
    kept = within_shares(images, params(largest_share=0.4, always=10))
    assert int((images.clients[kept] == "home of dan").sum()) == 300


def test_a_sender_may_have_so_many_in_any_case():
    assert within_shares(sent(800), params(always=500)).sum() == 500
    assert within_shares(sent(400), params(always=500)).all()


@pytest.mark.parametrize("source", ["anonymous", "page"])
def test_a_name_that_many_use_is_limited_by_address_alone(source):
    images = together(*(sent(200, source, f"home {number}", seed=number) for number in range(4)))
    assert within_shares(images, params(largest_share=0.3, always=10)).all()


def test_a_trusted_sender_is_not_limited():
    images = together(HONEST, sent(1000, "dan", "home of dan", seed=9))
    kept = within_shares(images, params(largest_share=0.12, always=10, trusted=("dan", "home of dan")))
    assert kept[len(HONEST) :].all()
    assert int(kept[: len(HONEST)].sum()) == 3 * 150


def test_surplus_is_dropped_at_random_and_the_same_when_there_are_more():
    images = sent(800)
    kept = images.pixels[within_shares(images, params(always=300))]
    assert set(np.flatnonzero(within_shares(images, params(always=300)))) != set(range(300))
    more = together(sent(100, seed=5), images)
    later = {pixels.tobytes() for pixels in more.pixels[within_shares(more, params(always=300))]}
    assert len(later & {pixels.tobytes() for pixels in kept}) > 250
    assert (ranking(images, 0) != ranking(images, 1)).any()


@pytest.mark.parametrize(
    ("counts", "share", "most"),
    [
        ([10, 10], 0.5, 10),
        ([100, 10], 0.5, 10),
        ([10, 10], 0.4, 0),
        ([9000, 3000, 3000, 3000], 0.3, 3857),
        ([], 0.5, 0),
    ],
)
def test_the_largest_share_is_exact(counts, share, most):
    counts = np.array(counts, int)
    assert allowed(counts, np.zeros(len(counts), bool), share) == most
    kept = np.minimum(counts, most)
    assert kept.max(initial=0) <= share * kept.sum()
