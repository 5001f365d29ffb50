import json
import os
import random
import subprocess
from datetime import UTC, datetime

import pytest

from delivery import registry
from delivery.git import GitError
from delivery.registry import RegistryError
from tests.delivery.released import https
from tests.delivery.tagged import ENVIRONMENT, START, Tagged


@pytest.fixture
def repository(tmp_path):
    """Versions of the commits a, b and c; b in staging, a in production."""
    made = Tagged(tmp_path / "repository")
    for number, letter in enumerate("abc", start=1):
        made.tag(f"mnist@v0.{number}.0", letter)
    made.tag("mnist#staging#1", "a")
    made.tag("mnist#production#2", "a", by="Ben", message="Promote\n\nwhy not")
    made.tag("mnist#staging#3", "b")
    return made


def read(repository):
    return registry.read(repository.path, "mnist")


def test_versions_are_listed_in_the_order_of_their_numbers(tmp_path):
    made = Tagged(tmp_path / "repository")
    for letter, name in zip("abcd", ("v0.10.0", "v0.9.0", "v1.0.0", "v1.0.0-rc1"), strict=True):
        made.tag(f"mnist@{name}", letter)
    assert [version.name for version in read(made).versions] == ["v0.9.0", "v0.10.0", "v1.0.0-rc1", "v1.0.0"]


def test_what_is_where_since_when_by_whom_and_why(repository):
    known = read(repository)
    found = known.assigned("production")

    assert (known.current("staging").name, known.current("production").name) == ("v0.2.0", "v0.1.0")
    assert known.current("nowhere") is None
    assert found.when == datetime.fromtimestamp(START + 5, UTC)
    assert (found.by, found.message, found.tag) == ("Ben", "Promote\n\nwhy not", "mnist#production#2")
    assert [entry.version.name for entry in known.history["staging"]] == ["v0.1.0", "v0.2.0"]
    assert known.version_of(repository.commit("c")).name == "v0.3.0"
    assert known.version_of("0" * 40) is None


@pytest.mark.parametrize("kind", ["text", "bare clone", "file address", "https"])
def test_every_kind_of_repository_says_the_same(repository, tmp_path, monkeypatch, kind):
    bare = repository.bare(tmp_path / "served/bare.git")
    expected = read(repository)
    if kind == "https":
        with https(tmp_path / "served", tmp_path) as (address, certificate):
            monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
            assert registry.read(f"{address}/bare.git", "mnist") == expected
            assert registry.fingerprint(f"{address}/bare.git") == registry.fingerprint(bare)
        return
    where = {"text": str(repository.path), "bare clone": bare, "file address": bare.as_uri()}[kind]
    assert registry.read(where, "mnist") == expected
    assert registry.current(where, "mnist", "staging").commit == repository.commit("b")
    assert registry.fingerprint(where) == registry.fingerprint(bare)


@pytest.mark.parametrize("where", ["nowhere", "https://127.0.0.1:9/nowhere", "--upload-pack=touch pwned"])
def test_no_repository_is_said(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    for ask in (registry.fingerprint, lambda repo: registry.read(repo, "mnist")):
        with pytest.raises(GitError, match=r"`git (ls-remote|fetch)` failed: "):
            ask(where)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("commits", ["", "a"])
def test_a_repository_elsewhere_may_have_no_tags_yet(tmp_path, commits):
    made = Tagged(tmp_path / "repository")
    for letter in commits:
        made.commit(letter)
    where = made.bare(tmp_path / "bare.git").as_uri()
    assert registry.read(where, "mnist").versions == []
    assert registry.current(where, "mnist", "staging") is None


def test_a_folder_without_git_is_said(tmp_path):
    with pytest.raises(GitError, match="not a git repository"):
        registry.read(tmp_path, "mnist")


def test_the_fingerprint_changes_with_every_change_of_a_tag(repository):
    prints = [registry.fingerprint(repository.path)]
    for change in (
        lambda: repository.tag("mnist#staging#4", "a"),
        lambda: repository.tag("mnist#staging#4", "a", message="another"),
        lambda: repository.git("tag", "--delete", "mnist#staging#4"),
    ):
        change()
        prints.append(registry.fingerprint(repository.path))
    assert prints[3] == prints[0]
    assert len(set(prints)) == 3
    repository.commit("d")
    assert registry.fingerprint(repository.path) == prints[0]


def test_text_of_tags_is_only_text(repository):
    message = "a\x1b[2J\n\nmnist@v9.9.9\nrefs/tags/x\ttag\n%(refname)\n# $(id)"
    repository.tag("mnist#staging#4", "c", message=message, by="O'\"Neil\t; $(id)")
    found = read(repository).assigned("staging")
    assert found.version.name == "v0.3.0"
    assert found.message == message.replace("\n# $(id)", "")  # git tag takes comments away
    assert found.by == "O'\"Neil\t; $(id)"


def test_a_deleted_version_is_missed_by_the_stage_that_has_it(repository):
    repository.git("tag", "--delete", "mnist@v0.2.0")
    known = read(repository)
    with pytest.raises(
        RegistryError, match=r"tag mnist#staging#3 assigns commit \w{7} to staging, where no version is"
    ):
        known.current("staging")
    assert known.current("production").name == "v0.1.0"
    assert known.before("staging").name == "v0.1.0"


def test_a_version_that_was_moved_away_is_missed(repository):
    repository.tag("mnist@v0.2.0", "d")
    with pytest.raises(RegistryError, match="no version is registered"):
        read(repository).current("staging")


@pytest.mark.parametrize(("name", "letter"), [("mnist@v0.2.0", "c"), ("mnist@v0.2.0#7", "d"), ("mnist@v0.4.0", "b")])
def test_tags_that_contradict_each_other_are_refused(repository, name, letter):
    repository.tag(name, letter, by="Eve")
    with pytest.raises(RegistryError, match=r"mnist@v0.\d.0.* \(commit \w{7}, Eve\) contradict each other"):
        read(repository)


def test_a_deleted_assignment_leaves_the_one_before(repository):
    repository.git("tag", "--delete", "mnist#staging#3")
    assert read(repository).current("staging").name == "v0.1.0"


def test_a_withdrawn_version_is_in_no_stage_and_can_t_be_found(repository):
    repository.tag("mnist@v0.2.0!", "b")
    known = read(repository)
    assert [version.name for version in known.withdrawn] == ["v0.2.0"]
    assert known.current("staging").name == "v0.1.0"
    with pytest.raises(RegistryError, match=r"no version 'v0.2.0', which was withdrawn; there is v0.3.0, v0.1.0 \("):
        known.find("v0.2.0")


def test_a_retired_artifact_is_in_no_stage_until_it_is_assigned_again(repository):
    repository.tag("mnist@deprecated", "a")
    assert read(repository).current("staging") is None
    repository.tag("mnist#staging#4", "c")
    assert read(repository).current("staging").name == "v0.3.0"


def test_rollback_leads_to_what_can_still_be_used(repository):
    repository.tag("mnist#staging#4", "c")
    assert read(repository).before("staging").name == "v0.2.0"
    repository.tag("mnist#staging!#5", "b")  # somebody took it out
    assert read(repository).before("staging").name == "v0.1.0"
    assert read(repository).before("production") is None
    repository.tag("mnist@v0.1.0!", "a")
    assert read(repository).before("staging") is None


@pytest.mark.parametrize("seed", range(3))
def test_gto_says_the_same(tmp_path, seed):
    """Any history that GTO itself can read: registrations, assignments, withdrawals, stages taken back."""
    made, draw = Tagged(tmp_path / "repository"), random.Random(seed)
    for number, letter in enumerate("abcde", start=1):
        made.tag(f"mnist@v0.{number}.0", letter)
    inside = {"staging": set(), "production": set()}
    for number in range(1, 25):
        stage = draw.choice(list(inside))
        if inside[stage] and draw.random() < 0.25:
            letter = draw.choice(sorted(inside[stage]))
            inside[stage].remove(letter)
            made.tag(f"mnist#{stage}!#{number}", letter)
        else:
            letter = draw.choice("abcde")
            inside[stage].add(letter)
            made.tag(f"mnist#{stage}#{number}", letter)
    made.tag("mnist@v0.5.0!", "e")

    env = os.environ | ENVIRONMENT
    answer = subprocess.run(["gto", "show", "--json"], cwd=made.path, env=env, capture_output=True, check=True)
    said = json.loads(answer.stdout)["mnist"]
    known = read(made)
    assert said["version"] == known.versions[-1].name
    current = {stage: version and version.name for stage in inside for version in [known.current(stage)]}
    assert {stage: said["stage"].get(stage) for stage in inside} == current
