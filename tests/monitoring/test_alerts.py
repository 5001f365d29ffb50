import dataclasses
from pathlib import Path

from digits.params import load
from monitoring.alerts import Alerts, Level, Track
from monitoring.result import Detector, Feature, Result
from monitoring.settings import MonitoringParams

PARAMS = load(MonitoringParams, "monitoring", Path(__file__).parents[2] / "params.yaml")
WARN, ALERT = PARAMS.warn, PARAMS.alert


def result(p_value: float | None, statistic: float = 0.3, n: int = 100) -> Result:
    detector = Detector.CONCEPT_DRIFT if p_value is None else Detector.DATA_DRIFT
    return Result(detector, "test", statistic, p_value, n, 0.25, "effect", (Feature("centroid x", 0.3, 1e-5),))


def levels(*p_values: float) -> list[Level]:
    track, found = Track(), []
    for time, p_value in enumerate(p_values):
        track = track.after(result(p_value), time, PARAMS)
        found.append(track.level)
    return found


def told(*results: Result) -> list[tuple[int, int, bool]]:
    """Which result told what: its place, the alert's number, whether it fires."""
    track, alerts, found = Track(), Alerts(), []
    for time, one in enumerate(results):
        track = track.after(one, time, PARAMS)
        alerts, alert = alerts.after(track, one, "v1", time, PARAMS)
        if alert:
            found.append((time, alert.number, alert.firing))
    return found


def test_one_is_a_warning_two_in_a_row_are_an_alert():
    assert levels(0.5, WARN, 0.5, WARN, WARN, WARN) == ["ok", "warn", "ok", "warn", "alert", "alert"]


def test_one_that_is_sure_is_an_alert():
    assert levels(ALERT * 1.01, 1, ALERT) == ["warn", "ok", "alert"]


def test_before_anything_was_tested_nobody_knows():
    assert Track().level is Level.TOO_LITTLE_DATA
    assert Track().level != Level.OK


def test_an_interruption_breaks_the_row():
    track = Track().after(result(WARN), 0, PARAMS).interrupted(judged=True)
    assert track.level is Level.WARN
    assert track.after(result(WARN), 1, PARAMS).level is Level.WARN
    assert track.interrupted(judged=False).level is Level.TOO_LITTLE_DATA


def test_an_alert_is_told_when_it_begins_and_when_it_is_over():
    bad, good = result(1e-6), result(0.5)
    assert told(good, bad, bad, good, bad, good, good, good, bad) == [(1, 1, True), (6, 1, False), (8, 2, True)]


def test_a_warning_does_not_resolve():
    assert told(result(1e-6), result(0.5), result(WARN), result(0.5)) == [(0, 1, True)]


def test_the_cusum_fires_at_its_threshold_until_nothing_is_left_of_it():
    results = [result(None, statistic) for statistic in (7.9, 8, 5, 8, 0.1, 0)]
    assert told(*results) == [(1, 1, True), (5, 1, False)]


def test_the_cusum_of_a_few_labels_says_nothing_yet():
    assert Track().after(result(None, 0, n=49), 0, PARAMS).level is Level.TOO_LITTLE_DATA
    assert Track().after(result(None, 0, n=50), 0, PARAMS).level is Level.OK
    assert Track().after(result(None, 8, n=10), 0, PARAMS).level is Level.ALERT


def test_each_version_and_detector_has_its_own():
    alerts = Alerts()
    for version, one in (("v1", result(1e-6)), ("v2", result(1e-6)), ("v1", result(None, 8))):
        alerts, _ = alerts.after(Track(level=Level.ALERT), one, version, 5, PARAMS)
    assert [alert.number for alert in alerts.alerts] == [1, 2, 3]
    assert alerts.firing("v2", Detector.DATA_DRIFT).number == 2
    alerts, over = alerts.retired("v1", 9)
    assert [(alert.number, alert.resolved) for alert in over] == [(1, 9), (3, 9)]
    assert [alert.number for alert in alerts.alerts if alert.firing] == [2]


def test_when_it_was_last_seen_is_kept():
    track, alerts = Track(), Alerts()
    for time, p_value in enumerate((1e-6, 1e-6, 0.5)):
        track = track.after(result(p_value), time, PARAMS)
        alerts, _ = alerts.after(track, result(p_value), "v1", time, PARAMS)
    assert (alerts.alerts[0].since, alerts.alerts[0].last) == (0, 1)


def test_old_ones_that_are_over_are_forgotten_firing_ones_are_not():
    alerts, _ = Alerts().after(Track(level=Level.ALERT), result(1e-6), "v0", 0, PARAMS)
    for number in range(1, 210):
        alerts, _ = alerts.after(Track(level=Level.ALERT), result(1e-6), f"v{number}", number, PARAMS)
        alerts, _ = alerts.retired(f"v{number}", number)
    assert [alert.number for alert in alerts.alerts[:2]] == [1, 11]
    assert (len(alerts.alerts), alerts.raised) == (201, 210)


def test_an_alert_says_what_where_and_how_much():
    _, alert = Alerts().after(Track(level=Level.ALERT), result(1e-6), "v1", 0, PARAMS)
    assert str(alert) == ("alert 1, data drift of v1: test 0.3, p = 1e-06, n = 100, effect 0.25 (centroid x)")
    without = dataclasses.replace(alert, result=dataclasses.replace(result(None, 8), features=()))
    assert str(without).endswith("test 8, n = 100, effect 0.25")
