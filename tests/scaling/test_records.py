import json
import os
import subprocess
import sys

import pytest

from scaling import records
from scaling.records import RecordsError, begin, read

WANTED = {
    "space": {"train.seed": {"choice": [1, 2]}},
    "trials": 5,
    "seed": 0,
    "keep": 1,
    "commit": "c" * 40,
    "code": "d" * 64,
    "data": {},
    "params": {"model": {}, "train": {}},
    "versions": {},
}


def ended(number: int, **changes):
    record = {
        "trial": f"{number:05}",
        "settings": {"train.seed": number},
        "state": "finished",
        "validation_accuracy": 0.9,
        "validations": 2,
        "curve": [0.8, 0.9],
        "loss": 0.5,
        "parameters": 100,
        "seconds": 1.5,
        "node": "here:12345678",
        "device": "cpu, AVX2",
        "error": None,
    }
    return record | changes


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_was_written_is_read():
    with begin("one", WANTED) as journal:
        journal.append(ended(3))
        journal.append(ended(1, state="failed", validation_accuracy=None, error="why"))
    assert [record["trial"] for record in read("one")] == ["00003", "00001"]
    assert read("one") == [ended(3), ended(1, state="failed", validation_accuracy=None, error="why")]
    assert records.description("one") == WANTED
    with begin("one", WANTED) as journal:
        assert journal.records == read("one")


@pytest.mark.parametrize("length", [1, 30, -1])
def test_a_half_written_line_is_cut_off(length):
    with begin("one", WANTED) as journal:
        journal.append(ended(0))
    path = records.SWEEPS / "one" / records.TRIALS
    with path.open("ab") as stream:
        stream.write((json.dumps(ended(1)) + "\n").encode()[:length])
    assert read("one") == [ended(0)]
    with begin("one", WANTED) as journal:
        journal.append(ended(2))
    assert read("one") == [ended(0), ended(2)]
    assert path.read_bytes().count(b"\n") == 2


def test_a_line_is_on_the_disk_before_append_returns(monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    with begin("one", WANTED) as journal:
        synced.clear()
        journal.append(ended(0))
        assert synced == [(records.SWEEPS / "one" / records.TRIALS).stat().st_size]


def test_a_full_disk_leaves_no_half_line(monkeypatch):
    with begin("one", WANTED) as journal:
        journal.append(ended(0))
        real = os.write
        monkeypatch.setattr(os, "write", lambda file, line: real(file, line[:10]))
        with pytest.raises(OSError, match="No space left on device") as caught:
            journal.append(ended(1))
        assert caught.value.filename == "sweeps/one/trials.jsonl"
        monkeypatch.setattr(os, "write", real)
        journal.append(ended(1))
    assert read("one") == [ended(0), ended(1)]


@pytest.mark.parametrize("line", ["{}", "no JSON", "[1]", json.dumps(ended(0))])
def test_what_is_no_record_or_the_second_of_a_trial_is_refused(line):
    with begin("one", WANTED) as journal:
        journal.append(ended(0))
    with (records.SWEEPS / "one" / records.TRIALS).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(RecordsError, match=r"one/trials\.jsonl: line 2 is no record of a trial .*, or its second"):
        read("one")


def test_a_sweep_has_one_driver():
    script = (
        "import json, sys; from scaling.records import begin, RecordsError\n"
        "try:\n with begin('one', {}): print('mine')\nexcept RecordsError as error: print(error)"
    )

    def other() -> str:
        environment = os.environ | {"PYTHONPATH": str(records.__file__).rpartition("/scaling/")[0]}
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    with begin("one", WANTED):
        assert other() == "sweeps/one: another process is running this sweep; give this one another NAME="
        assert records.description("one") == WANTED
    assert other() == "mine"


def test_a_sweep_that_is_not_there_is_an_error_that_names_those_that_are():
    for name in ("one", "two"):
        with begin(name, WANTED):
            pass
    with pytest.raises(RecordsError, match=r"sweeps/three/sweep\.json: not found; the sweeps that are there: one, two"):
        read("three")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "a..b", "a.", "a.lock", "ä", "a~1"])
def test_names_are_plain_file_names_and_parts_of_references(name):
    with pytest.raises(RecordsError, match="can't be the name of a sweep"):
        records.folder(name)
