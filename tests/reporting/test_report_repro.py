"""Words of DVC 3.67, as they were printed."""

import pytest

from reporting.repro import Repro, parse, read

PRINTED = """\
Stage 'fetch' didn't change, skipping
Stage 'train' is cached - skipping run, checking out outputs
Updating lock file 'dvc.lock'

Running stage 'evaluate':
> python -m stages.evaluate
Use `dvc push` to send your updates to remote storage.
Stage 'evaluate' didn't change, skipping
Running stage 'check':
> python -m stages.check
error: 1 of 6 limits violated (see results/check/verdict.json):
ERROR: failed to reproduce 'check': failed to run: python -m stages.check, exited with 1
"""
DID = Repro(ran=["evaluate", "check"], restored=["train"], failed=["check"])


def test_what_ran_what_was_restored_and_what_failed():
    assert parse(PRINTED) == DID


@pytest.mark.parametrize(
    "printed",
    [
        PRINTED * 2,
        PRINTED.replace("\n", "\r\n"),
        PRINTED.replace("ERROR", "\x1b[31mERROR\x1b[39m"),
        PRINTED.replace("Running", "epoch 1:  50%|██\repoch 1: 100%|████Running"),
    ],
    ids=["twice", "windows", "in colour", "behind a progress bar"],
)
def test_it_is_read_in_any_form(printed):
    assert parse(printed) == DID


def test_names_of_dvc_s_other_kinds():
    assert parse("Running stage 'sub/dvc.yaml:train@it's':\n").ran == ["sub/dvc.yaml:train@it's"]


def test_a_violated_limit_breaks_nothing():
    assert DID.broken == []
    assert Repro(ran=["train"], restored=[], failed=["train", "check"]).broken == ["train"]


def test_words_about_a_stage_are_not_dvc_s():
    assert parse("> echo Running stage 'x': now\nRunning stage\nStage 'y' didn't change\n") == Repro([], [], [])


def test_a_file_of_any_bytes(tmp_path):
    (tmp_path / "ran.txt").write_bytes(b"\xff\0\n" + PRINTED.encode())

    assert read(tmp_path / "ran.txt") == DID
