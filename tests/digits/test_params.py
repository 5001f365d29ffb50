import dataclasses
import math
from typing import Annotated, Literal

import pytest
import yaml

from digits.architecture import ModelParams
from digits.dataset import DataParams, PreprocessParams
from digits.params import PIPELINE, ParamsError, Range, load, parse
from digits.recipe import TrainParams
from tests.synthetic import PARAMS, write_params

MODEL, TRAIN = PARAMS["model"], PARAMS["train"]


def test_section_is_loaded_with_its_types(workspace):
    params = load(TrainParams, "train")
    assert dataclasses.asdict(params) == TRAIN
    assert isinstance(load(ModelParams, "model").channels, tuple)


@pytest.mark.parametrize("text", ["1e-05", "1e-5", "0.00001", 1e-5])
def test_number_written_as_text_is_a_number(text):
    assert parse(TrainParams, TRAIN | {"learning_rate": text}, "train").learning_rate == 1e-5


def test_what_dvc_writes_for_a_small_number_is_loaded(workspace):
    path = workspace / "params.yaml"
    path.write_text(path.read_text().replace("learning_rate: 0.05", "learning_rate: 1e-05"))
    assert yaml.safe_load(path.read_text())["train"]["learning_rate"] == "1e-05"
    assert load(TrainParams, "train").learning_rate == 1e-5


@pytest.mark.parametrize("value", [3, 3.0, "3"])
def test_whole_number_is_an_int(value):
    epochs = parse(TrainParams, TRAIN | {"epochs": value}, "train").epochs
    assert (epochs, type(epochs)) == (3, int)


def test_large_seed_keeps_every_digit():
    assert parse(TrainParams, TRAIN | {"seed": 2**63 - 1}, "train").seed == 2**63 - 1


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("epochs", 0, "0 is out of range; allowed: a whole number at least 1 and at most 1000"),
        ("epochs", 1.5, "expected a whole number at least 1 and at most 1000, found 1.5"),
        ("epochs", True, "expected a whole number at least 1 and at most 1000, found True"),
        ("epochs", "many", "expected a whole number at least 1 and at most 1000, found 'many'"),
        ("epochs", None, "expected a whole number at least 1 and at most 1000, found nothing"),
        ("epochs", [1], "expected a whole number at least 1 and at most 1000, found a list"),
        ("learning_rate", 0, "0.0 is out of range; allowed: a number above 0 and at most 10"),
        ("learning_rate", 10.1, "10.1 is out of range; allowed: a number above 0 and at most 10"),
        ("learning_rate", math.nan, "nan is out of range; allowed: a number above 0 and at most 10"),
        ("learning_rate", "nan", "nan is out of range; allowed: a number above 0 and at most 10"),
        ("learning_rate", math.inf, "inf is out of range; allowed: a number above 0 and at most 10"),
        ("learning_rate", True, "expected a number above 0 and at most 10, found True"),
        ("learning_rate", 10**400, "expected a number above 0 and at most 10, found 1000"),
        ("momentum", 1, "1.0 is out of range; allowed: a number at least 0 and below 1"),
        ("seed", 2**63, "9223372036854775808 is out of range; allowed: .* below 9223372036854775808"),
        ("seed", -1, "-1 is out of range; allowed: a whole number at least 0"),
        ("whitening", 1, "expected true or false, found 1"),
        ("whitening", "true", "expected true or false, found 'true'"),
        ("optimizer", "adam", "expected one of sgd, adamw, found 'adam'"),
        ("device", 0, "expected one of auto, cpu, cuda, found 0"),
    ],
)
def test_bad_value_names_its_key_and_what_is_allowed(workspace, key, value, allowed):
    write_params(workspace, train={key: value})
    with pytest.raises(ParamsError, match=rf"^params.yaml: train\.{key}: {allowed}"):
        load(TrainParams, "train")


def messages_of_wrong_types() -> list[tuple[str, object]]:
    return [(key, value) for key in TRAIN for value in ({"a": 1}, [1], None)]


@pytest.mark.parametrize(("key", "value"), messages_of_wrong_types())
def test_no_key_takes_a_mapping_a_list_or_nothing(key, value):
    with pytest.raises(ParamsError, match=rf"^train\.{key}: expected .*, found (a mapping|a list|nothing)$"):
        parse(TrainParams, TRAIN | {key: value}, "train")


def test_unknown_key_is_refused_with_the_known_ones(workspace):
    write_params(workspace, train={"lr": 0.1})
    with pytest.raises(ParamsError, match=r"train\.lr: unknown key; allowed: seed, epochs, .*, instructions$"):
        load(TrainParams, "train")


@pytest.mark.parametrize("key", TRAIN)
def test_missing_key_is_named(key):
    with pytest.raises(ParamsError, match=rf"^missing: train\.{key} \(.+\)$"):
        parse(TrainParams, {name: value for name, value in TRAIN.items() if name != key}, "train")


def test_missing_key_comes_with_what_is_allowed():
    with pytest.raises(ParamsError, match=r"preprocess\.seed \(a whole number at least 0 and below 4294967296\)"):
        parse(PreprocessParams, {"validation_size": 100}, "preprocess")


def test_several_missing_keys_are_named_at_once():
    with pytest.raises(ParamsError, match=r"missing: preprocess\.validation_size .*, preprocess\.seed "):
        parse(PreprocessParams, {}, "preprocess")


def test_bad_entry_of_a_list_is_named_with_its_position():
    with pytest.raises(
        ParamsError, match=r"^model\.channels\[1\]: 0 is out of range; allowed: a whole number at least 1"
    ):
        parse(ModelParams, MODEL | {"channels": [4, 0]}, "model")


def test_list_is_described_where_something_else_stands():
    with pytest.raises(
        ParamsError,
        match=r"^model\.kernels: expected a list of one or more, each a whole number at least 1 and at most",
    ):
        parse(ModelParams, MODEL | {"kernels": 5}, "model")


def test_choice_of_a_data_set_is_checked():
    with pytest.raises(
        ParamsError, match=r"data\.dataset: expected one of MNIST, FashionMNIST, KMNIST, found 'CIFAR10'"
    ):
        parse(DataParams, {"dataset": "CIFAR10"}, "data")


def test_text_is_text_alone():
    @dataclasses.dataclass(frozen=True)
    class Names:
        name: str

    assert parse(Names, {"name": "a"}, "n").name == "a"
    with pytest.raises(ParamsError, match=r"n\.name: expected text, found 1"):
        parse(Names, {"name": 1}, "n")


def test_bool_is_not_the_number_it_equals():
    @dataclasses.dataclass(frozen=True)
    class Numbers:
        choice: Literal[1, 2]

    with pytest.raises(ParamsError, match=r"n\.choice: expected one of 1, 2, found True"):
        parse(Numbers, {"choice": True}, "n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"^params.yaml: expected sections data, .*; found nothing"),
        ("- a", r"^params.yaml: expected sections data, .*; found a list"),
        ("train: [", "^params.yaml: not valid YAML: "),
        (b"\xff\xfe\xfa", "^params.yaml: not valid YAML: "),
        ("data: {dataset: MNIST}", "^params.yaml: section train is missing"),
        ("train: 1", r"^params.yaml: train: expected a mapping, found 1"),
        ("trian: {}", "^params.yaml: unknown section trian; the sections are data, preprocess, model, train"),
    ],
)
def test_broken_file_is_refused(workspace, content, message):
    (workspace / "params.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ParamsError, match=message):
        load(TrainParams, "train")


def test_missing_file_says_where_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=r"^params.yaml: not found; run from the top folder"):
        load(TrainParams, "train")


def test_range_includes_and_excludes_its_ends():
    inclusive, strict = Range(at_least=1, at_most=2), Range(above=1, below=2)
    assert [value in inclusive for value in (0.9, 1, 1.5, 2, 2.1)] == [False, True, True, True, False]
    assert [value in strict for value in (0.9, 1, 1.5, 2, 2.1)] == [False, False, True, False, False]
    assert Range().__contains__(5)
    assert not Range().__contains__(math.nan)


def test_optional_value_may_be_null():
    @dataclasses.dataclass(frozen=True)
    class Optional:
        rate: Annotated[float, Range(above=0)] | None

    assert parse(Optional, {"rate": None}, "o").rate is None
    with pytest.raises(ParamsError, match=r"^missing: o\.rate \(a number above 0 or null\)"):
        parse(Optional, {}, "o")
    with pytest.raises(ParamsError, match=r"^o\.rate: -1\.0 is out of range; allowed: a number above 0"):
        parse(Optional, {"rate": -1}, "o")


def test_mapping_of_dataclasses_is_described_where_it_is_missing():
    from digits.limits import CheckParams

    with pytest.raises(
        ParamsError,
        match=r"check\.limits \(a mapping of one or more, each a mapping of above, below, at_least, at_most\)",
    ):
        parse(CheckParams, {}, "check")


def test_synthetic_params_have_the_sections_of_the_pipeline():
    assert tuple(PARAMS) == PIPELINE
