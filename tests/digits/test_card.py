import yaml

from digits.card import render
from digits.limits import Limit, judge
from tests.synthetic import PARAMS

METRICS = {
    "accuracy": 0.9912,
    "accuracy_95": {"low": 0.9892, "high": 0.9929},
    "errors": 88,
    "loss": 0.0312,
    "calibration_error": 0.0044,
    "parameters": 22922,
    "epochs": 1,
    "per_class": {"0": {"precision": 0.5, "recall": 0.25, "f1": 0.3333}},
}
PART = {"images": 55000, "pixel_mean": 33.3184, "pixel_std": 78.567}
STATISTICS = {
    "dataset": "KMNIST",
    "archives_md5": {"train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873"},
    "train": PART,
    "validation": PART | {"images": 5000},
    "test": PART | {"images": 10000},
}
CARD = render(METRICS, judge(METRICS, {"accuracy": Limit(above=0.95), "errors": Limit(below=50)}), STATISTICS, PARAMS)


def test_results_stand_in_the_card():
    assert "# Model card: KMNIST classifier" in CARD
    assert "22,922 parameters" in CARD
    assert "| 0.9912 | 0.9892 to 0.9929 | 88 | 0.0312 | 0.0044 |" in CARD
    assert "| 0 | 0.5000 | 0.2500 | 0.3333 |" in CARD


def test_limits_stand_in_the_card_with_their_margins():
    assert "## Limits: 1 of 2 kept" in CARD
    assert "| accuracy | 0.9912 | above 0.95 | +0.0412 | ok |" in CARD
    assert "| errors | 88 | below 50 | -38 | **violated** |" in CARD


def test_data_stand_in_the_card_with_their_checksums():
    assert "| train-images-idx3-ubyte.gz | `f68b3c2dcbeaaa9fbdd348bbdeb94873` |" in CARD
    assert "| train | 55,000 | 33.32 | 78.57 |" in CARD
    assert "| test | 10,000 | 33.32 | 78.57 |" in CARD


def test_production_data_stand_in_the_card_where_there_are_any():
    statistics = STATISTICS | {"production": PART | {"images": 120, "repeat": 10}}
    card = render(METRICS, [], statistics, PARAMS)
    assert "| production | 120 | 33.32 | 78.57 |\n\nValidation" in card
    assert "each counts\n10 time(s) beside the training images" in card
    assert "roduction images" not in CARD


def test_params_stand_in_the_card_as_they_are():
    assert yaml.safe_load(CARD.partition("```yaml")[2].partition("```")[0]) == PARAMS


def test_card_says_what_the_model_is_not_for():
    assert "## Intended use" in CARD
    assert "Not for: " in CARD
