import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from delivery.client import ServiceError
from digits.dataset import DatasetError
from digits.storage import write_arrays
from monitoring import simulate
from monitoring.sending import Sender
from monitoring.simulated import CHANGES, TrialError
from stages import evaluate
from tests import synthetic
from tests.delivery.service.asked import Stub
from tests.delivery.serving import ROOT, serving

TOKEN = "a secret"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service of the stage staging, which asks for a token with labels."""
    stub = Stub()
    stub.open.set()
    with serving(tmp_path_factory.mktemp("service"), stub, token=TOKEN) as service:
        yield service


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """What the command prints in a folder with params and traffic."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    write_arrays(tmp_path / simulate.TRAFFIC, **synthetic.digits(50)._asdict())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MNIST_ADMIN_TOKEN", raising=False)

    def run(*options: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["simulate", "--rate=1000", *options])
        simulate.main()
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def url(running):
    return f"--url={running.client.base_url}"


def set_address(stage, address):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["delivery"]["stages"][stage]["url"] = str(address).rstrip("/")
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def test_the_traffic_is_what_evaluate_kept_for_it():
    assert simulate.TRAFFIC == evaluate.TRAFFIC


def test_it_says_what_it_will_send_and_what_came_of_it(command, running, monkeypatch):
    set_address("staging", running.client.base_url)
    monkeypatch.setenv("MNIST_ADMIN_TOKEN", TOKEN)
    before = running.count()
    first, *last = command("--shift=invert", "--mix=0.5", "--clean=20", "--count=60", "--labels=1", "--delay=0.01")
    assert running.count() == before + 60
    assert first == (
        f"{running.client.base_url} answers with v0.0.1: 20 images as they are, then invert (50% of them), "
        "1000 a second, 60 in all; labels for 100%, after 0.01 s"
    )
    assert re.fullmatch(r"60 sent in \d+ s: 60 answered, 60 labels", last[0])
    assert re.fullmatch(r"accuracy, clean: \d+\.00% of 20", last[1])
    assert re.fullmatch(r"accuracy, invert: \d+\.\d\d% of 40", last[2])
    assert (running.logged(60).truths >= 0).all()


def test_images_are_sent_until_it_is_interrupted(command, url, monkeypatch):
    def interrupted(sender, seconds):
        while sender.tally.answered.total() < 70:
            assert not join(sender, 0.01)
        raise KeyboardInterrupt

    join = Sender.join
    monkeypatch.setattr(Sender, "join", interrupted)
    first, *last = command(url)
    assert first.endswith(": clean, 1000 a second, until Ctrl-C")
    assert re.fullmatch(r"\d+ sent in \d+ s: \d+ answered, 0 labels", last[0])
    assert re.fullmatch(r"accuracy, clean: \d+\.\d\d% of \d+", last[1])


def test_that_images_come_again_is_said(command, url, monkeypatch):
    join = Sender.join
    monkeypatch.setattr(Sender, "join", lambda sender, seconds: join(sender, 0.001))
    said = command(url, "--count=120")
    assert sum("no others are left, so they come again" in line for line in said) in (1, 2)
    assert any(re.fullmatch(r"\d+ sent, \d+ answered, 0 labels", line) for line in said)


def test_changes_are_listed_with_their_meaning(command):
    lines = command("--shift=list")
    assert [line.split()[0] for line in lines] == list(CHANGES)
    assert "rotate30  turned by 30 degrees" in lines


def test_labels_that_would_be_refused_are_refused_at_once(command, url, monkeypatch, running):
    before = running.count()
    for token in ("", "another"):
        monkeypatch.setenv("MNIST_ADMIN_TOKEN", token)
        with pytest.raises(ServiceError, match=r"labels are refused \(.* missing or wrong\); set MNIST_ADMIN_TOKEN as"):
            command(url, "--labels=0.1", "--count=5")
    assert running.count() == before
    assert "5 answered" in command(url, "--count=5")[1]  # for which nobody needs a token


def test_a_service_that_does_not_do_is_named_with_what_to_do(command, running):
    set_address("staging", "http://127.0.0.1:9")
    with pytest.raises(
        ServiceError, match=r"^http://127.0.0.1:9: no service answers; start it with `make serve STAGE=staging`, or"
    ):
        command()
    with pytest.raises(ServiceError, match=r"^http://127.0.0.1:8: no service answers; start one there, or name"):
        command("--url=http://127.0.0.1:8")
    with pytest.raises(TrialError, match="url: expected one that starts with http:// or https://, found 'ftp://x'"):
        command("--url=ftp://x")
    with pytest.raises(TrialError, match=r"stage 'test' is none of params.yaml's delivery.stages: staging, production"):
        command("--stage=test")
    set_address("production", running.client.base_url)
    with pytest.raises(ServiceError, match="is the service of stage staging, not of production; name it with STAGE="):
        command("--stage=production")


def test_a_service_without_a_model_is_not_asked(command, monkeypatch):
    answer = {"ready": False, "stage": "staging", "reason": "no model"}
    monkeypatch.setattr(simulate, "ready", lambda _url: answer)
    with pytest.raises(ServiceError, match="the service is not ready: no model"):
        command()


def test_traffic_that_is_missing_or_something_else_is_named(command, tmp_path):
    write_arrays(tmp_path / simulate.TRAFFIC, images=np.zeros((3, 28, 28), np.uint8), labels=np.arange(3))
    with pytest.raises(DatasetError, match=r"^data/traffic.npz: labels must be 3 unsigned bytes"):
        command()
    (tmp_path / simulate.TRAFFIC).unlink()
    with pytest.raises(TrialError, match=r"^data/traffic.npz: not found; bring it with `dvc pull data/traffic.npz`"):
        command()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--rate=0", "a number above 0, and at most 2000, found '0'"),
        ("--rate=nan", "a number above 0, and at most 2000, found 'nan'"),
        ("--rate=fast", "a number above 0, and at most 2000, found 'fast'"),
        ("--mix=1.1", "a number from 0 to 1, found '1.1'"),
        ("--labels=-1", "a number from 0 to 1, found '-1'"),
        ("--delay=inf", "a number from 0, found 'inf'"),
        ("--count=1.5", "a whole number from 0, found '1.5'"),
        ("--clean=-1", "a whole number from 0, found '-1'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(command, capsys, option, said):
    with pytest.raises(SystemExit) as caught:
        command(option)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_service_that_refuses_shows_in_the_progress():
    class Slow:
        behind = 12.3
        tally = simulate.Tally(sent=1234, refused=2, reason="too many requests are waiting")

    assert simulate.progress(Slow()) == (
        "1,234 sent, 0 answered, 0 labels, 2 refused (too many requests are waiting), 12 s behind"
    )
