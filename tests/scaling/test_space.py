from pathlib import Path

import pytest
import yaml

from digits.params import ParamsError
from scaling import space
from scaling.settings import SpaceError
from scaling.space import Choice, Numbers, Space, parse

WRITTEN = {
    "train.learning_rate": {"loguniform": [0.05, 0.8]},
    "train.batch_size": {"choice": [48, 64]},
    "train.epochs": {"integer": [1, 3]},
    "model.channels": [{"integer": [4, 16]}, 48],
    "model": {"choice": [{"kernels": [5, 4], "pools": [3, 1]}, {"kernels": [5, 5], "pools": [2, 2]}]},
}
VALUES = {"train.learning_rate": 0.2, "train.batch_size": 1, "train.epochs": 2, "model.channels[0]": 7, "model": 1}
SETTINGS = {
    "train.learning_rate": 0.2,
    "train.batch_size": 64,
    "train.epochs": 2,
    "model.channels": [7, 48],
    "model.kernels": [5, 5],
    "model.pools": [2, 2],
}


def test_default_space_is_one():
    found = space.load()
    assert isinstance(found, Space)
    assert len(found.domains) > 5


@pytest.mark.parametrize("path", sorted(Path("scaling").resolve().glob("*.yaml")), ids=lambda path: path.name)
def test_a_space_has_no_network_that_check_would_refuse(path):
    limits = yaml.safe_load((path.parents[1] / "params.yaml").read_text())["check"]["limits"]
    assert space.load(path).document["parameters"] == limits["parameters"]


def test_what_is_wanted_is_no_key():
    found = parse({"objective": "frontier", "parameters": {"below": 9}, **WRITTEN})
    assert (found.objective, found.below, found.domains) == ("frontier", 9, parse(WRITTEN).domains)
    assert found.settings(VALUES) == SETTINGS
    assert found.values(SETTINGS) == VALUES
    assert parse(found.document) == found
    assert (parse(WRITTEN).objective, parse(WRITTEN).below) == ("accuracy", None)


def test_domains_are_named_by_key_by_entry_and_by_section():
    assert parse(WRITTEN).domains == {
        "train.learning_rate": Numbers(0.05, 0.8, log=True, whole=False),
        "train.batch_size": Choice((48, 64)),
        "train.epochs": Numbers(1, 3, log=False, whole=True),
        "model.channels[0]": Numbers(4, 16, log=False, whole=True),
        "model": Choice(({"kernels": [5, 4], "pools": [3, 1]}, {"kernels": [5, 5], "pools": [2, 2]})),
    }


def test_values_become_settings_and_back():
    found = parse(WRITTEN)
    assert found.settings(VALUES) == SETTINGS
    assert found.values(SETTINGS) == VALUES


def test_what_a_sweep_keeps_of_a_space_reads_the_same():
    found = parse(WRITTEN)
    assert parse(found.document) == found


def test_values_have_the_types_of_params_yaml():
    found = parse({"train.weight_decay": {"choice": [0, "1e-5"]}, "train.warmup": {"uniform": [0, "2e-1"]}})
    assert found.document == {"train.weight_decay": {"choice": [0.0, 1e-5]}, "train.warmup": {"uniform": [0.0, 0.2]}}
    assert all(isinstance(value, float) for value in found.document["train.weight_decay"]["choice"])


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"train.rate": {"choice": [1]}}, r"train\.rate: unknown key; allowed: seed, epochs, .*learning_rate"),
        ({"train.rate": 0.1}, r"train\.rate: unknown key; allowed: seed, epochs"),
        (
            {"train.learning_rate": {"loguniform": [0.1, 20]}},
            r"train\.learning_rate: 20\.0 is out of range; allowed: a number above 0 and at most 10",
        ),
        (
            {"train.optimizer": {"choice": ["sgd", "adam"]}},
            r"train\.optimizer: expected one of sgd, adamw, found 'adam'",
        ),
        (
            {"train.batch_size": {"choice": [64, 64.5]}},
            r"train\.batch_size: expected a whole number at least 2 .*, found 64\.5",
        ),
        (
            {"model.channels": {"choice": [[16, 300]]}},
            r"model\.channels\[1\]: 300 is out of range; allowed: a whole num",
        ),
        ({"model.channels": [16, {"integer": [1, 300]}]}, r"model\.channels\[1\]: 300 is out of range"),
        ({"model": {"choice": [{"kernel": [3]}]}}, r"model\.kernel: unknown key; allowed: channels, kernels"),
    ],
)
def test_mistakes_read_as_those_of_params_yaml(written, message):
    with pytest.raises(ParamsError, match=f"^{message}"):
        parse(written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (None, "expected keys such as"),
        ([], "expected keys such as"),
        ({"learning_rate": {"choice": [1]}}, "learning_rate: a sweep varies keys of model and train"),
        ({"check.limits": {"choice": [1]}}, r"check\.limits: a sweep varies keys of model and train"),
        ({"train.threads": {"choice": [1, 2]}}, r"train\.threads: not for a sweep, because it is what a trial costs"),
        ({"train.device": {"choice": ["cpu"]}}, r"train\.device: not for a sweep"),
        ({"train.seed": 3}, r"train\.seed: expected \{ choice: \[\.\.\.\] \} or \[lowest, highest\] of one of uniform"),
        ({"train.seed": {"normal": [0, 1]}}, r"train\.seed: expected .*; found \{'normal': \[0, 1\]\}"),
        ({"train.seed": {"choice": []}}, r"train\.seed: expected"),
        ({"train.seed": {"choice": [1, 2, 1]}}, r"train\.seed: a value is there twice in \[1, 2, 1\]"),
        ({"train.seed": {"integer": [5, 1]}}, r"train\.seed: integer takes two numbers, \[lowest, highest\]"),
        ({"train.seed": {"integer": [1, 2, 3]}}, r"train\.seed: integer takes two numbers"),
        ({"train.whitening": {"integer": [False, True]}}, r"train\.whitening: integer takes two numbers"),
        ({"train.warmup": {"loguniform": [0, 0.5]}}, r"train\.warmup: loguniform starts above 0"),
        (
            {"train.batch_size": {"uniform": [32, 64]}},
            r"train\.batch_size: has whole numbers alone; use integer: \[32, 64\]",
        ),
        ({"train.warmup": {"integer": [0, 0.5]}}, r"train\.warmup: has any numbers; use uniform"),
        ({"model.channels": [16, 48]}, "nothing in it is free"),
        ({"objective": "frontier", "parameters": {"below": 9}}, "nothing in it is free"),
        ({"objective": "speed", **WRITTEN}, "objective: expected one of accuracy, frontier; found 'speed'"),
        ({"parameters": 9, **WRITTEN}, r"parameters: expected \{ below: 25000 \} or another number; found 9"),
        ({"parameters": {"below": 0}, **WRITTEN}, r"parameters: expected .*; found \{'below': 0\}"),
        ({"parameters": {"below": 9, "above": 1}, **WRITTEN}, "parameters: expected"),
        ({"model": {"choice": [{"pools": [3]}, {"kernels": [3]}]}}, "model: every choice needs the same keys, pools"),
        ({"model": {"choice": [3]}}, r"model: expected \{ choice: \[\{ key: value"),
        (
            {"model": {"choice": [{"pools": [3, 1]}]}, "model.pools": {"choice": [[3, 1]]}},
            r"model\.pools: given twice, alone and in a choice of several keys",
        ),
    ],
)
def test_what_is_no_space_is_refused(written, message):
    with pytest.raises(SpaceError, match=f"^{message}"):
        parse(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "space.yaml: not found; name a search space with SPACE="),
        ("{", "space.yaml: not valid YAML"),
        ("train.epochs: { choice: [0] }", r"space.yaml: train\.epochs: 0 is out of range; allowed: a whole number"),
    ],
)
def test_messages_name_the_file(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    path = space.Path("space.yaml")
    if text is not None:
        path.write_text(text)
    with pytest.raises(SpaceError, match=f"^{message}"):
        space.load(path)
