import json

import pytest

from digits.errors import run
from digits.limits import MetricError
from digits.storage import FileError
from stages import check
from tests import synthetic


def limits(folder, **changes: dict[str, float]) -> None:
    synthetic.write_params(folder, check={"limits": synthetic.PARAMS["check"]["limits"] | changes})


def verdict() -> dict:
    return json.loads(check.VERDICT.read_text())


def test_good_model_passes(pipeline, capsys):
    check.main()
    assert verdict()["passed"] is True
    assert [limit["metric"] for limit in verdict()["limits"]] == ["parameters", "accuracy", "epochs"]
    assert verdict()["limits"][0] == {
        "metric": "parameters",
        "relation": "below",
        "limit": 25000.0,
        "value": 1142,
        "margin": 23858.0,
        "passed": True,
    }
    assert "parameters = 1142, must be below 25000: ok (margin +23858)" in capsys.readouterr().out


def test_bad_metric_is_refused_after_the_verdict_is_written(pipeline):
    check.VERDICT.unlink()
    check.CARD.unlink()
    limits(pipeline, parameters={"below": 1142}, accuracy={"above": 1})
    with pytest.raises(check.LimitsViolatedError) as caught:
        check.main()
    first, *lines = str(caught.value).splitlines()
    assert first == "2 of 3 limits violated (see results/check/verdict.json):"
    assert lines[0] == "  parameters = 1142, must be below 1142: VIOLATED (margin +0)"
    assert lines[1].startswith("  accuracy = ")
    assert verdict()["passed"] is False
    assert [limit["passed"] for limit in verdict()["limits"]] == [False, False, True]
    assert "1 of 3 kept" in check.CARD.read_text()


def test_violated_limit_ends_the_stage_with_an_error(pipeline):
    limits(pipeline, epochs={"at_most": 0})
    with pytest.raises(
        SystemExit, match=r"^error: 1 of 3 limits violated .*\n  epochs = 1, must be at most 0: VIOLATED"
    ):
        run(check.main)


def test_limit_on_an_unknown_metric_is_refused(pipeline):
    limits(pipeline, acuracy={"above": 0.95})
    with pytest.raises(MetricError, match=r"check\.limits\.acuracy: no such metric; evaluate wrote accuracy, errors"):
        check.main()


def test_model_card_shows_params_and_results(pipeline):
    card = check.CARD.read_text()
    assert "# Model card: MNIST classifier" in card
    assert "1,142 parameters" in card
    assert "learning_rate: 0.05" in card
    assert "3 of 3 kept" in card


def test_checking_again_changes_nothing(pipeline):
    before = check.VERDICT.read_bytes(), check.CARD.read_bytes()
    check.main()
    assert (check.VERDICT.read_bytes(), check.CARD.read_bytes()) == before


def test_metrics_that_are_no_json_are_refused(pipeline):
    check.METRICS.write_text("{")
    with pytest.raises(FileError, match=r"^results/evaluate/metrics\.json: not valid JSON"):
        check.main()
