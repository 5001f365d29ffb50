import base64

import numpy as np
import sqlalchemy as sa

from delivery.history import History
from delivery.log import as_bytes
from delivery.schema import PREDICTIONS
from monitoring.shifts import moved
from monitoring.unusual import groups
from tests.monitoring.traffic import answers


def shifted(images, probabilities):
    return moved(images, 3), probabilities


def found(logged):
    return groups(History(logged.log.engine), logged.state, ["v1", "v2"])


def test_images_of_the_alert_and_of_the_newest_window_as_they_were_scored(logged):
    logged.predict(100)
    drifted = logged.predict(100, change=shifted)
    logged.label(drifted[:50], errors=3)
    logged.predict(100, "v2")
    logged.look()
    alert, newest, first = found(logged)
    assert (alert.version, alert.detector, alert.alert, alert.firing) == ("v1", "data drift", 1, True)
    assert (newest.version, newest.alert, first.version) == ("v2", None, "v1")
    result = logged.state.alerts.alerts[0].result
    assert [picture.id for picture in alert.pictures] == list(result.images)
    assert alert.why in ("highest centroid x", "farthest from the reference's images, by their statistics")
    rows = History(logged.log.engine).named(drifted)
    for picture in alert.pictures:
        place = rows.ids.index(picture.id)
        pixels = np.frombuffer(base64.b64decode(picture.pixels), np.uint8).reshape(28, 28)
        assert (pixels == rows.pixels[place]).all()
        assert (picture.label, picture.confidence) == (rows.labels[place], rows.probabilities[place].max())
        assert picture.truth == (None if rows.truths[place] < 0 else rows.truths[place])


def test_an_alert_that_is_over_is_shown_until_another_fires(logged):
    logged.predict(100, change=shifted)
    logged.look()
    logged.predict(200)
    logged.look()
    assert [(group.alert, group.firing) for group in found(logged)] == [(1, False), (None, False)]
    ids = logged.predict(100, change=shifted)
    logged.label(ids, errors=60)
    logged.look()
    shown = found(logged)
    assert [group.alert for group in shown] == [3, 2, None]
    assert shown[0].why == "newest errors by their true labels"
    assert all(picture.truth not in (None, picture.label) for picture in shown[0].pictures)


def test_of_a_class_that_is_missing_the_one_that_grew_is_shown_and_named(logged):
    def nines_as_fours(images, probabilities):
        labels = probabilities.argmax(1)
        return images, answers(np.where(labels == 9, 4, labels), seed=0)

    logged.predict(1000, change=nines_as_fours)
    logged.look()
    (alert,) = [group for group in found(logged) if group.detector == "label shift"]
    result = next(alert.result for alert in logged.state.alerts.alerts if alert.detector == "label shift")
    assert (result.features[0].name, result.features[0].statistic < 0) == ("class 9", True)
    assert [picture.label for picture in alert.pictures] == [4] * 10
    assert alert.why == "newest predictions of class 4, more frequent than usual; class 9 is rarer than usual"


def test_what_the_log_has_forgotten_is_counted(logged):
    logged.predict(100, change=shifted)
    logged.look()
    keys = [as_bytes(key) for key in logged.state.alerts.alerts[0].result.images[:4]]
    with logged.log.engine.begin() as connection:
        connection.execute(sa.delete(PREDICTIONS).where(PREDICTIONS.c.id.in_(keys)))
    assert (found(logged)[0].gone, len(found(logged)[0].pictures)) == (4, 6)


def test_nothing_is_shown_of_nothing(logged):
    assert found(logged) == []
    logged.predict(10)
    logged.look(7200)
    assert found(logged) == []
