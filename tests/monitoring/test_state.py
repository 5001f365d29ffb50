import json

import pytest

from delivery.schema import SECOND
from monitoring import state
from monitoring.result import Detector, Result
from monitoring.shifts import moved
from monitoring.state import State, StateError, telling


def test_without_a_file_it_is_a_beginning(tmp_path):
    assert state.read(tmp_path / "state.json") == State()


def test_everything_comes_back(logged, tmp_path):
    ids = logged.predict(1000)
    logged.label(ids[:250], errors=20)
    logged.predict(130, change=lambda images, probabilities: (moved(images, 3), probabilities))
    logged.look()
    assert logged.state.alerts.raised > 1
    path = tmp_path / "state.json"
    state.write(path, logged.state)
    assert state.read(path) == logged.state
    assert json.loads(path.read_text())["form"] == 1
    assert [entry.name for entry in tmp_path.glob("*state*")] == ["state.json"]


def test_of_labels_that_come_all_the_time_the_telling_results_of_seven_days_are_kept():
    def found(time, statistic, p_value=None, version="v1"):
        detector = Detector.CONCEPT_DRIFT if p_value is None else Detector.ACCURACY
        return state.Tested(version, time * SECOND, Result(detector, "test", statistic, p_value, 200, 0.01, "effect"))

    day = 24 * 3600
    peak, tested, other = found(0, 8), found(0, 6, p_value=1e-5), found(0, 1, version="v2")
    tests = (peak, tested, other)
    for time in range(30, 7 * day, 30):
        tests = (*tests, found(time, time // 30 % 2))
        if time % 3600 == 0:
            tests = telling(tests, time * SECOND)
    tests = telling(tests, 7 * day * SECOND)
    assert tests[:3] == (peak, tested, other)
    assert tests[-1] == found(7 * day - 30, 1)
    assert telling((*tests, found(7 * day - 29, 0)), 7 * day * SECOND)[-2:] == (tests[-1], found(7 * day - 29, 0))
    assert 200 < len(tests) < 310
    assert telling(tests, 8 * day * SECOND)[0].time > 0


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("", "JSON"),
        ('{"form": 2}', "form"),
        ('{"streams": {"v1": {}}}', r"streams\.v1\.cusum"),
        ('{"alerts": {"alerts": [{"number": "x"}]}}', r"alerts\.alerts\.0"),
        ("[]", "object"),
    ],
)
def test_what_is_no_state_is_refused_with_what_to_do(tmp_path, content, where):
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(StateError, match=f"not monitoring's state .*{where}.*remove it, to begin anew"):
        state.read(path)


def test_a_file_of_before_there_were_more_fields_is_gone_on_from(logged, tmp_path):
    logged.label(logged.predict(100), seconds=10)
    logged.look()
    path = tmp_path / "state.json"
    state.write(path, logged.state)
    older = json.loads(path.read_text())
    del older["labels_before"], older["late_labels"]
    for name in ("newest_label", "labels_since_gap", "trouble"):
        del older["streams"]["v1"][name]
    path.write_text(json.dumps(older))
    logged.state = state.read(path)
    logged.label(logged.predict(60), seconds=10)
    logged.look()
    assert (logged.state.late_labels, logged.state.streams["v1"].labelled) == (0, 160)
    assert logged.levels()["concept drift"] == "ok"
