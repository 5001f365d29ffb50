"""What `make` hands on to the commands behind its targets."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def command(*arguments: str, **environment: str) -> str:
    """What a target would run."""
    stamps = (".venv/installed", ".venv/installed-serve", ".venv/installed-scale")
    ready = [f"--assume-old={name}" for name in (*stamps, "data/traffic.npz", "data/prepared/train.npz")]
    answer = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", *ready, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.replace("\\\n", "").strip()


@pytest.mark.parametrize(
    ("target", "given", "option"),
    [
        ("deploy", "WATCH=1", "--watch"),
        ("release", "PUSH=1", "--push"),
        ("release", "BUMP=minor", "--bump='minor'"),
        ("simulate", "SHIFT=rotate30", "--shift='rotate30'"),
        ("seeds", "SEEDS=5", "--seeds='5'"),
        ("seeds", "EXPERIMENT=one", "--experiment='one'"),
        ("seeds", "AGAINST=v1", "--against='v1'"),
        ("sweep", "TRIALS=200", "--trials='200'"),
        ("sweep", "NAME=one", "--name='one'"),
    ],
)
def test_what_happens_to_be_in_the_environment_is_no_option(target, given, option):
    assert command(target, given).split()[-1] == option
    name, _, value = given.partition("=")
    assert option not in command(target, **{name: value})


@pytest.mark.parametrize(
    ("split", "files"),
    [
        ("validation", {"train.npz", "validation.npz", "statistics.json"}),
        ("test", {"train.npz", "validation.npz", "statistics.json", "test.npz"}),
    ],
)
def test_seeds_pull_what_is_read_for_their_split_and_is_not_there(tmp_path, split, files):
    ready = ["--dry-run", "--assume-old=.venv/installed"]
    answer = subprocess.run(
        ["make", f"--file={ROOT / 'Makefile'}", *ready, "seeds", f"SPLIT={split}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    pulled = [line.split()[2:] for line in answer.stdout.splitlines() if line.startswith("dvc pull ")]
    assert {path for paths in pulled for path in paths} == {f"data/prepared/{name}" for name in files}


@pytest.mark.parametrize("value", ["0", "no", ""])
def test_a_switch_can_be_off(value):
    assert "--watch" not in command("deploy", f"WATCH={value}")
    assert "--push" not in command("release", f"PUSH={value}")


def test_no_option_s_value_is_run_by_make():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (unexported,) = re.findall(r"^unexport (.+)$", makefile, re.MULTILINE)
    options = re.findall(r"\$\(call (?:option,[\w-]+|flag,[\w-]+|quoted),(\w+)\)", makefile)
    assert set(options) - {"1", "2"} <= set(unexported.split())


def test_every_option_of_a_trial_can_be_given():
    given = {"shift": "blur", "mix": "0.5", "rate": "9", "clean": "8", "count": "7", "labels": "0.4", "delay": "3"}
    given |= {"seed": "2", "stage": "it's `x`", "url": "http://127.0.0.1:1"}
    run = command("simulate", *(f"{name.upper()}={value}" for name, value in given.items()))
    said = subprocess.run(
        ["sh", "-c", run.replace("exec python -m", "printf '%s\\n'")], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[1:] == [f"--{name}={value}" for name, value in given.items()]


def test_every_option_of_a_sweep_can_be_given():
    given = {"space": "my space.yaml", "trials": "20", "name": "$(HOME)", "resume": "two", "keep": "0", "seed": "1"}
    given |= {"repository": "https://example.org/it's `x`", "workers": "4", "threads": "3"}
    run = command("sweep", *(f"{name.upper()}={value}" for name, value in given.items()))
    said = subprocess.run(
        ["sh", "-c", run.replace("exec python -m", "printf '%s\\n'")], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[1:] == [f"--{name}={value}" for name, value in given.items()]
