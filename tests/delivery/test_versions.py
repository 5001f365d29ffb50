import json
import re
import subprocess
import sys

import pytest

from delivery import versions
from tests.delivery.released import ROOT
from tests.delivery.tagged import ENVIRONMENT, Tagged


@pytest.fixture
def repository(tmp_path, monkeypatch):
    made = Tagged(tmp_path / "repository")
    made.write("params.yaml", (ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(made.path)
    return made


@pytest.fixture
def shown(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["versions", *map(str, arguments)])
        versions.main()
        return capsys.readouterr().out

    return run


def released(repository):
    repository.trained("a", range(20))
    repository.tag("mnist@v0.1.0", "a")
    repository.trained("b", range(5))
    repository.tag("mnist@v0.2.0", "b", by="Ben\x1b[2J", after=60)
    repository.tag("mnist#staging#1", "a")
    repository.tag("mnist#staging#2", "b", after=60)
    repository.tag("mnist#production#3", "a", by="Ben")


def test_what_is_where_since_when_by_whom_and_how_good(repository, shown):
    released(repository)
    a, b = (repository.commit(letter)[:7] for letter in "ab")
    assert shown() == (
        "stage       version  since                 by   tag\n"
        "staging     v0.2.0   2027-01-15 08:02 UTC  Ann  mnist#staging#2\n"
        "production  v0.1.0   2027-01-15 08:02 UTC  Ben  mnist#production#3\n"
        "\n"
        "version  accuracy  errors  now in      registered            by          commit\n"
        f"v0.2.0   99.50 %   5       staging     2027-01-15 08:01 UTC  Ben\\x1b[2J  {b}\n"
        f"v0.1.0   98.00 %   20      production  2027-01-15 08:00 UTC  Ann         {a}\n"
    )


def test_a_bare_clone_shows_the_same(repository, shown, tmp_path):
    released(repository)
    assert shown("--repo", repository.bare(tmp_path / "bare.git")) == shown()


def test_what_is_empty_withdrawn_unknown_or_unreadable_is_shown(repository, shown):
    released(repository)
    repository.tag("mnist@v0.1.0!", "a")
    repository.tag("mnist#canary#4", "c")
    repository.write("results/evaluate/metrics.json", '{"accuracy": NaN, "errors": "many"}')
    repository.commit("d")
    repository.tag("mnist@v0.3.0", "d")
    lines = [re.split(r"  +", line) for line in shown().splitlines()]

    assert lines[2] == ["production", "-", "-", "-", "-"]
    assert lines[3][:2] == ["canary", f"{repository.commit('c')[:7]}: no version"]
    assert lines[6][:4] == ["v0.3.0", "-", "-", "-"]
    assert lines[8][:4] == ["v0.1.0", "98.00 %", "20", "withdrawn"]


def test_without_versions_it_says_what_to_do(repository, shown):
    repository.commit("a")
    assert shown() == "no version of mnist yet: register one with `make release`, or `git fetch --tags`\n"


def test_json_holds_the_histories_and_the_metrics(repository, shown):
    released(repository)
    content = json.loads(shown("--json"))
    staging = content["stages"]["staging"]

    assert [entry["version"] for entry in staging["history"]] == ["v0.1.0", "v0.2.0"]
    assert staging["current"] == staging["history"][-1]
    assert staging["current"]["when"] == "2027-01-15T08:02:02+00:00"
    assert [(entry["name"], entry["metrics"]["errors"]) for entry in content["versions"]] == [
        ("v0.1.0", 20),
        ("v0.2.0", 5),
    ]


def test_as_a_command_a_folder_without_git_is_one_message(repository, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = subprocess.run(
        [sys.executable, "-m", "delivery.versions", "--repo", str(tmp_path / "empty")],
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"error: {tmp_path}/empty: `git for-each-ref` failed: fatal: not a git repository")
