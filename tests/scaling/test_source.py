import shutil

import pytest
import yaml

from scaling import source
from scaling.nodes import Spec, digest, versions
from scaling.source import SourceError, describe_code
from tests.scaling.repository import PARAMS, SUMS

CLUSTER = "10.0.0.1:6379"  # that it is given is what counts; nobody is asked there


@pytest.fixture
def here(repository, monkeypatch):
    """The driver's working folder, with a repository of its own that is pushed to `repository`."""
    monkeypatch.chdir(repository.path)
    return repository


@pytest.fixture
def pushed(here, outside):
    here.git("clone", "--quiet", "--bare", ".", str(outside / "origin.git"))
    here.git("remote", "add", "origin", "../origin.git")
    return here


def test_a_ray_of_ones_own_takes_the_working_folder(here):
    here.write({"digits/version.py": "HERE = 2  # not committed\n"})
    assert describe_code(None) == Spec(
        str(here.path), None, here.git("rev-parse", "HEAD"), SUMS, versions(), digest(here.path)
    )
    shutil.rmtree(here / ".git")
    assert describe_code(None).commit is None


def test_code_that_is_not_committed_tells_a_sweep_from_another(here):
    before = describe_code(None)
    here.write({"README.md": "another text", "digits/notes.txt": "no code"})
    here.commit()
    (here / "digits/.#version.py").symlink_to("me@here.1234")  # what an editor leaves
    assert describe_code(None).code == before.code
    here.write({"digits/version.py": "HERE = 2  # not committed\n"})
    assert describe_code(None).code != before.code
    here.git("checkout", "digits")
    here.write({"scaling/new.py": ""})
    assert describe_code(None).code != before.code


def test_data_that_are_not_those_of_the_lock_are_refused(here):
    (here / "data/prepared/validation.npz").write_bytes(b"others")
    with pytest.raises(SourceError, match=r"validation.npz: its MD5 sum is .+; restore it with `dvc pull data"):
        describe_code(None)


@pytest.mark.parametrize("address", [None, CLUSTER])
def test_data_of_other_params_are_refused(pushed, address):
    pushed.write({"params.yaml": yaml.safe_dump(PARAMS | {"preprocess": {"seed": 1}, "train": {"seed": 1}})})
    pushed.commit()
    message = (
        r"params.yaml: preprocess is {'seed': 1}, but the data were made with {'seed': 0}; run `dvc repro preprocess`"
    )
    with pytest.raises(SourceError, match=message):
        describe_code(address)


def test_params_that_data_do_not_depend_on_are_the_sweeps_own(here):
    here.write({"params.yaml": yaml.safe_dump(PARAMS | {"train": {"seed": 1}})})
    assert describe_code(None).data == SUMS


def test_a_folder_that_is_no_project_is_named(here, tmp_path):
    (here / "dvc.lock").write_text("stages: {fetch: }")
    with pytest.raises(SourceError, match=r"dvc.lock, params.yaml: not what they should hold .*run `dvc repro preproc"):
        describe_code(None)
    (here / "dvc.lock").unlink()
    with pytest.raises(SourceError, match=r"dvc.lock: not found; run from the top folder, after `dvc repro`"):
        describe_code(None)


def test_a_pipeline_whose_data_are_others_is_told(here):
    text = (here / "dvc.lock").read_text().replace("prepared/train.npz", "prepared/training.npz")
    (here / "dvc.lock").write_text(text)
    with pytest.raises(SourceError, match=r"dvc.lock: it names no data/prepared/train.npz"):
        describe_code(None)


def test_a_cluster_gets_the_commit_from_origin(pushed, outside):
    shutil.rmtree(pushed / "data")  # the driver itself needs none
    commit = pushed.git("rev-parse", "HEAD")
    assert describe_code(CLUSTER) == Spec(
        None, str(outside / "origin.git"), commit, SUMS, versions(), digest(pushed.path)
    )
    assert (outside / "cache/checkouts" / commit / "data/prepared/train.npz").exists()


def test_a_cluster_gets_the_commit_from_where_it_is_told(here):
    assert describe_code(CLUSTER, f"file://{here.path}").repository == f"file://{here.path}"


def test_what_is_not_committed_is_refused(pushed):
    pushed.write({"digits/version.py": "HERE = 2\n", "digits/new.py": "", "README.md": "no node reads this"})
    with pytest.raises(SourceError, match=r"not committed: digits/version.py, digits/new.py. The nodes .*`git commit"):
        describe_code(CLUSTER)


def test_a_commit_that_is_not_pushed_is_refused(pushed):
    pushed.write({"digits/version.py": "HERE = 2\n"})
    commit = pushed.commit()
    with pytest.raises(SourceError, match=rf"(?s)tried here: commit {commit} can't be fetched .*push it there"):
        describe_code(CLUSTER)


def test_data_that_are_not_in_the_remote_are_refused(pushed):
    pushed.object("data/prepared/train.npz").unlink()
    pushed.commit()
    pushed.git("push", "--quiet", "origin", "main")
    with pytest.raises(SourceError, match=r"tried here: data/prepared/train.npz.* can't be pulled .*`dvc push`"):
        describe_code(CLUSTER)


def test_a_repository_without_origin_is_told_what_to_do(here):
    with pytest.raises(SourceError, match=r"no remote `origin`.* --repository"):
        describe_code(CLUSTER)


@pytest.mark.parametrize(
    "address",
    ["https://me:secret@example.org/mnist", "https://secret@example.org/mnist", "ssh://git:secret@example.org/m"],
)
def test_a_password_goes_nowhere(here, address):
    with pytest.raises(SourceError, match=r"://\.\.\.@example.org: the repository's address holds") as caught:
        describe_code(CLUSTER, address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("query", ["?private_token=secret", "#secret"])
def test_a_query_goes_nowhere(here, query):
    with pytest.raises(SourceError, match=r"https://example.org/mnist\?\.\.\.: .* has a query") as caught:
        describe_code(CLUSTER, f"https://example.org/mnist{query}")
    assert "secret" not in str(caught.value)


def test_an_address_that_is_none_is_one_clear_error(here):
    with pytest.raises(SourceError, match=r"the repository's address is none \(Invalid IPv6 URL\); name another"):
        describe_code(CLUSTER, "http://[x")


@pytest.mark.parametrize(
    "address", ["ssh://git@example.org/mnist", "git@example.org:mnist", "https://example.org/mnist"]
)
def test_a_users_name_is_no_password(address):
    assert source._reachable(address) == address


def test_git_that_is_not_there_or_refuses_is_named(pushed, monkeypatch):
    shutil.rmtree(pushed / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(pushed.path.parent))
    with pytest.raises(SourceError, match=r"`git status` failed: .*not a git repository"):
        describe_code(CLUSTER)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="git: not found"):
        describe_code(CLUSTER)
