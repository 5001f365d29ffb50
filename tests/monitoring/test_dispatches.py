import dataclasses
import json

import pytest

from monitoring import dispatches
from monitoring.alerts import Alert
from monitoring.dispatches import KEPT, Dispatch, Dispatches, DispatchesError
from monitoring.due import Key
from monitoring.result import Detector, Result

KEY = Key(3, 1_800_000_000_000_000, "accuracy", "v0.1.0")
ONE = Dispatch((KEY,), "alert 3", 5, "feedback/1", "c" * 40, sent=True)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "logs/production-retraining.json"
    assert dispatches.read(path) == Dispatches()
    known = Dispatches().with_(ONE).with_(dataclasses.replace(ONE, branch="feedback/2", time=6, sent=False))
    dispatches.write(path, known)
    assert dispatches.read(path) == known
    assert (known.answered, known.last) == ({KEY}, 5)
    waiting = known.waiting(())
    assert waiting is not None
    assert waiting.branch == "feedback/2"


def test_what_could_not_be_started_answers_no_alert():
    assert Dispatches().with_(dataclasses.replace(ONE, sent=False)).answered == set()


@pytest.mark.parametrize("outcome", ["error", "lost"])
def test_what_failed_answers_no_alert_and_what_was_lost_is_tried_again_with_its_branch(outcome):
    known = Dispatches().with_(dataclasses.replace(ONE, outcome=outcome))
    assert (known.answered, known.last, known.last_counting) == (set(), 5, None)
    assert bool(known.waiting({KEY})) == (outcome == "lost")  # the other one's commit says already that it failed
    for other in ((), {KEY, KEY._replace(number=4)}):
        assert known.waiting(other) is None
    for known_by_now in ("", "pending", "success", "failure"):
        assert Dispatches().with_(dataclasses.replace(ONE, outcome=known_by_now)).answered == {KEY}


def test_what_nothing_is_heard_of_is_lost():
    hour = 3_600_000_000
    assert ONE.at(5 + 2 * hour - 1, 2) == ONE
    assert str(ONE.at(5 + 2 * hour, 2)) == "retraining with feedback/1: failed, no word of it for 2 hours"
    for other in (dataclasses.replace(ONE, sent=False), dataclasses.replace(ONE, outcome="success")):
        assert other.at(5 + 9 * hour, 2) == other


def test_another_of_the_same_branch_takes_its_place_and_only_the_newest_are_kept():
    known = Dispatches().with_(ONE).with_(dataclasses.replace(ONE, outcome="failure", text="worse"))
    assert [str(one) for one in known.dispatches] == ["retraining with feedback/1: not proposed, worse"]
    for time in range(KEPT + 5):
        known = known.with_(dataclasses.replace(ONE, branch=f"feedback/{time}", time=time + 10))
    assert len(known.dispatches) == KEPT
    assert known.dispatches[-1].branch == f"feedback/{KEPT + 4}"


@pytest.mark.parametrize(
    ("outcome", "said"), [("", "started"), ("pending", "under way"), ("success", "proposed"), ("error", "failed")]
)
def test_each_outcome_has_its_words(outcome, said):
    assert str(dataclasses.replace(ONE, outcome=outcome)) == f"retraining with feedback/1: {said}"


def test_an_alert_says_what_came_of_its_retraining(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = Result(Detector.ACCURACY, "test", 9.0, 1e-6, 100, 0.5, "effect")
    alert = Alert(KEY.number, Detector.ACCURACY, KEY.version, KEY.since, KEY.since, result)
    assert dispatches.notes("production")(alert) == ""
    known = Dispatches().with_(dataclasses.replace(ONE, outcome="failure", text="worse"))
    dispatches.write(dispatches.path("production"), known)
    assert dispatches.notes("production")(alert) == "retraining with feedback/1: not proposed, worse"
    assert dispatches.notes("production")(dataclasses.replace(alert, number=4)) == ""
    dispatches.path("production").write_text("damaged")
    assert "logs/production-retraining.json: not the list of retrainings" in dispatches.notes("production")(alert)


@pytest.mark.parametrize("content", ["", "[]", '{"form": 2, "dispatches": []}', '{"dispatches": [{"alerts": [[3]]}]}'])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(DispatchesError, match=r"file\.json: not the list of retrainings .*remove it"):
        dispatches.read(path)


def test_the_file_can_be_read_by_people(tmp_path):
    dispatches.write(tmp_path / "file.json", Dispatches().with_(ONE))
    (one,) = json.loads((tmp_path / "file.json").read_text())["dispatches"]
    assert one["alerts"] == [list(KEY)]


def test_two_processes_do_not_decide_at_the_same_time(tmp_path):
    path = tmp_path / "logs/production-retraining.json"
    with (
        dispatches.alone(path),
        pytest.raises(DispatchesError, match="another process decides"),
        dispatches.alone(path),
    ):
        raise AssertionError("both")
    with dispatches.alone(path):
        pass
