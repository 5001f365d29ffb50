from pathlib import Path

import pytest
import yaml

from digits.params import ParamsError, load, parse
from monitoring.settings import MonitoringParams

ROOT = Path(__file__).parents[2]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())["monitoring"]


def test_params_of_the_project_are_valid():
    assert load(MonitoringParams, "monitoring", ROOT / "params.yaml").cusum.threshold == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alert": 0.5}, "alert: 0.5 is not below warn"),
        ({"smallest_window": 101}, r"smallest_window: 101 is more than window \(100\)"),
        ({"cusum": {"usual": 0.05, "harmful": 0.05, "threshold": 8}}, "harmful: 0.05 is not above usual"),
        ({"warn": 1}, r"monitoring\.warn: 1.* is out of range"),
        ({"windows_in_a_row": 1}, r"monitoring\.windows_in_a_row: 1 is out of range"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        parse(MonitoringParams, VALUES | changes, "monitoring")
