import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from digits.errors import PipelineError
from reporting import lockfile, verify


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["verify"])
    lockfile.STORE.mkdir()


@pytest.fixture
def answers(monkeypatch):
    """What dvc and git say, by the first words of the command; to be changed by a test."""
    words = {"dvc repro": [], "dvc data": "{}", "git status": ""}
    monkeypatch.setattr(verify, "run", lambda *command: words[" ".join(command[:2])])
    monkeypatch.setattr(lockfile, "dry_run", lambda: words["dvc repro"])
    return words


def test_fit_repository_passes(answers, capsys):
    verify.main()
    assert capsys.readouterr().out == "dvc.lock is current, all it names is in the remote, and both are committed\n"


def test_stale_stages_are_named(answers):
    answers["dvc repro"] = ["train", "export"]
    (complaint,) = verify.stale_stages()
    assert complaint.startswith("dvc.lock is stale: train, export would run; mend it with:\n  dvc repro")


def test_missing_objects_are_named(answers):
    answers["dvc data"] = json.dumps({"not_in_remote": ["models/model.onnx", "data/raw/"]})
    (complaint,) = verify.missing_objects()
    assert complaint.startswith("not in the DVC remote: models/model.onnx, data/raw/; mend it with:\n  dvc push")


def test_uncommitted_files_are_named_and_many_are_counted(answers):
    answers["git status"] = "".join(f"?? .dvcstore/{number}\n" for number in range(7))
    (complaint,) = verify.uncommitted_files()
    first = ", ".join(f".dvcstore/{number}" for number in range(5))
    assert complaint.startswith(
        f"not committed: {first} and 2 more; mend it with:\n  git add dvc.lock results .dvcstore"
    )


@pytest.mark.parametrize(("embedded", "store"), [(True, " .dvcstore"), (False, "")])
def test_what_mends_adds_the_embedded_remote_where_there_is_one(answers, embedded, store):
    if not embedded:
        lockfile.STORE.rmdir()
    answers |= {"dvc repro": ["train"], "dvc data": '{"not_in_remote": ["a"]}', "git status": " M dvc.lock\n"}
    assert [complaint.splitlines()[1] for complaint in verify.complaints()] == [
        f"  dvc repro && dvc push && git add dvc.lock results{store} && git commit",
        "  dvc push && git add .dvcstore && git commit" if embedded else "  dvc push",
        f"  git add dvc.lock results{store} && git commit",
    ]


def test_production_data_that_are_not_committed_are_named_with_what_adds_them(answers):
    answers["git status"] = " M data/production.dvc\n"
    (complaint,) = verify.uncommitted_files()
    assert complaint == (
        "not committed: data/production.dvc; mend it with:\n"
        "  git add dvc.lock results data/production.dvc .dvcstore && git commit"
    )


def test_all_complaints_come_at_once_and_fail(answers):
    answers |= {"dvc repro": ["train"], "dvc data": '{"not_in_remote": ["a"]}', "git status": " M dvc.lock\n"}
    with pytest.raises(SystemExit) as caught:
        verify.main()
    complaints = str(caught.value)
    assert [text in complaints for text in ("is stale: train", "remote: a;", "committed: dvc.lock;")] == [True] * 3


def test_a_command_that_fails_hides_no_other_complaint(answers, monkeypatch):
    answers |= {"dvc repro": ["train", "export"], "git status": " M dvc.lock\n"}

    def unreachable():
        raise PipelineError("dvc data status: no connection")

    monkeypatch.setattr(verify, "missing_objects", unreachable)
    stale, unknown, uncommitted = verify.complaints()
    assert stale.startswith("dvc.lock is stale: train, export")
    assert unknown == "error: dvc data status: no connection"
    assert uncommitted.startswith("not committed: dvc.lock;")


MENDS = "dvc repro && dvc push && git add dvc.lock results .dvcstore && git commit"
CHECK_STALE, BOTH_STALE = (
    f"dvc.lock is stale: {stages} would run; mend it with:\n  {MENDS}" for stages in ("check", "evaluate, check")
)
MISSING = "not in the DVC remote: a; mend it with:\n  dvc push && git add .dvcstore && git commit"


@pytest.mark.parametrize(
    ("said", "failed", "left"),
    [
        (f"{verify.FIT}\n", False, ""),
        (f"a warning of Python's\n{verify.FIT}\n", False, ""),
        (f"{CHECK_STALE}\n", False, CHECK_STALE),
        (f"{CHECK_STALE}\n", True, ""),
        (f"{CHECK_STALE}\n{MISSING}\n", True, MISSING),
        (f"{BOTH_STALE}\n", True, BOTH_STALE),
    ],
)
def test_what_a_failed_check_leaves_of_the_complaints(said, failed, left):
    assert verify.repeated(said, failed=failed) == left


@pytest.mark.parametrize("failed", [False, True])
def test_complaints_are_repeated_at_the_end(monkeypatch, capsys, failed):
    Path("said.txt").write_text(f"{CHECK_STALE}\n")
    Path("ran.txt").write_text("ERROR: failed to reproduce 'check': no\n" * failed)
    monkeypatch.setattr(sys, "argv", ["verify", "--said", "said.txt", "--ran", "ran.txt"])
    if failed:
        verify.main()
        assert capsys.readouterr().out == "nothing but what the failed check leaves stale\n"
    else:
        with pytest.raises(SystemExit) as caught:
            verify.main()
        assert caught.value.code == CHECK_STALE


def test_git_s_own_words_are_understood():
    subprocess.run(["git", "init", "--quiet"], check=True)
    for name in ("dvc.lock", "results/a.json", ".dvcstore/files/md5/ab/cd", "data/production.dvc", "notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("a")
    (complaint,) = verify.uncommitted_files()
    assert complaint.startswith(
        "not committed: .dvcstore/files/md5/ab/cd, data/production.dvc, dvc.lock, results/a.json; "
    )


def stored(store: Path, content: bytes, suffix: str = "") -> tuple[str, Path]:
    """An object of DVC's: its name and its file."""
    name = hashlib.md5(content).hexdigest() + suffix
    path = store / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name, path


@pytest.fixture
def cache():
    """A cache with an output that is a file, one that is a folder, and production data; the files of each."""
    model, model_file = stored(verify.CACHE, b"model")
    member, member_file = stored(verify.CACHE, b"archive")
    listing, listing_file = stored(verify.CACHE, json.dumps([{"md5": member, "relpath": "a.gz"}]).encode(), ".dir")
    outs = [{"path": "models/model.onnx", "md5": model}, {"path": "data/raw", "md5": listing}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"all": {"outs": outs}}}))
    labelled, labelled_file = stored(verify.CACHE, b"labelled images")
    tracked, _ = stored(verify.CACHE, json.dumps([{"md5": labelled, "relpath": "train.npz"}]).encode(), ".dir")
    Path("data").mkdir()
    verify.PRODUCTION.write_text(yaml.safe_dump({"outs": [{"path": "production", "md5": tracked}]}))
    return {"model": model_file, "member": member_file, "listing": listing_file, "labelled": labelled_file}


def test_whole_objects_are_no_complaint(cache):
    stored(verify.EMBEDDED, b"model")
    assert verify.damaged_objects() == []


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("model", "models/model.onnx"),
        ("member", "data/raw"),
        ("listing", "data/raw"),
        ("labelled", "data/production"),
    ],
)
def test_damaged_object_of_the_cache_is_named_with_what_to_remove(cache, name, output):
    cache[name].write_bytes(b"damaged")
    (complaint,) = verify.damaged_objects()
    first, mend = complaint.splitlines()
    assert first == f"damaged in the DVC cache: {cache[name]}; mend it with:"
    assert mend == f"  rm -rf {cache[name]} {output} && dvc pull"


def test_damaged_object_of_the_remote_is_restored_from_git(cache):
    _, path = stored(verify.EMBEDDED, b"model")
    path.write_bytes(b"damaged")
    (complaint,) = verify.damaged_objects()
    assert complaint == f"damaged in the DVC remote: {path}; mend it with:\n  git checkout .dvcstore"


def test_output_of_a_command_is_returned():
    assert verify.run(sys.executable, "-c", "print('said')") == "said\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_failing_command_is_an_error_in_its_own_words(stream):
    with pytest.raises(PipelineError, match=r": no repository$"):
        verify.run(sys.executable, "-c", f"import sys; print('no repository', file=sys.{stream}); sys.exit(1)")
