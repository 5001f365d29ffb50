"""The service and its prediction log: of each kind, within its limits, and out of order."""

import pytest

from delivery.log import LogError, PredictionLog
from delivery.schema import SECOND, now
from tests.delivery.databases import Postgresql, scored
from tests.delivery.service.asked import IMAGES, JSON, UNKNOWN, metric, predicted
from tests.delivery.serving import body, serving, wait_until


def test_on_postgresql_it_answers_logs_and_learns_as_on_sqlite(stub, postgresql, tmp_path):
    stub.open.set()
    database = Postgresql(postgresql)
    with serving(tmp_path, stub, log_url=database.url) as running:
        names = predicted(running, *IMAGES[:3])
        database.disconnect()  # the server was started anew
        names += predicted(running, IMAGES[3])
        label = {"id": names[0], "label": 3}
        statuses = [running.client.post("/v1/feedback", json=label | {"label": n}).status_code for n in (3, 3, 4)]
        assert statuses == [200, 200, 409]
        assert running.client.post("/v1/feedback", json=label | {"id": UNKNOWN}).status_code == 404
        wait_until(lambda: metric(running, "mnist_log_bytes") >= 0, "the log has been looked after")
        rows = running.logged(10)
    assert (rows.ids, rows.truths.tolist()) == (names, [3, -1, -1, -1])
    assert (rows.pixels == IMAGES[:4]).all()
    assert database.execute("SELECT count(*) FROM predictions") == [(4,)]


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ({"retention_days": 2.0}, range(1, 2)),
        ({"retention_days": 4.0}, range(1501, 1502)),
        ({"log_max_bytes": 1_000_000}, range(500, 1300)),
    ],
)
def test_the_log_is_kept_within_the_limits_of_the_params(stub, tmp_path, monkeypatch, limit, kept):
    log = PredictionLog(f"sqlite:///{tmp_path}/log.db", "staging")
    with monkeypatch.context() as patch:
        patch.setattr("delivery.log.now", lambda: now() - 3 * 86_400 * SECOND)
        for _ in range(3):
            log.append(scored(500))
    log.append(scored())
    log.close()
    with serving(tmp_path, stub, **limit) as running:
        wait_until(lambda: metric(running, "mnist_log_bytes") > 0, "the log has been looked after")
        assert running.count() in kept


def test_what_cannot_be_logged_is_not_answered(source, tmp_path, monkeypatch):
    def fails(*_arguments: object, **_more: object) -> None:
        raise LogError("the prediction log can't be written: disk full")

    with serving(tmp_path, source) as running:
        (name,) = predicted(running, IMAGES[0])
        monkeypatch.setattr(running.service.log, "append", fails)
        monkeypatch.setattr(running.service.log, "feedback", fails)
        for answer in (
            running.predict(body(IMAGES[0]), JSON),
            running.client.post("/v1/feedback", json={"id": name, "label": 1}),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json() == {"detail": "the prediction log can't be written: disk full"}
