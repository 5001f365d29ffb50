"""What is committed names no package registry, pins what it needs, and sets itself up as the README says."""

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
# In two parts each, or this file would name them itself.
REGISTRIES = [
    re.compile(rf"\b{first}{last}", re.IGNORECASE)
    for first, last in (
        ("py", r"pi\.org"),
        ("python", r"hosted\.org"),
        ("npm", r"js\.(org|com)"),
        ("debian", r"\.org"),
        ("ubuntu", r"\.com"),
        ("anaconda", r"\.(org|com)"),
        ("crates", r"\.io"),
        ("proxy", r"\.golang\.org"),
        ("ruby", r"gems\.org"),
    )
]


def canonical(requirement: str) -> str:
    """Name of the package that is required, as registries compare names."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def registries(text: str) -> list[str]:
    return [found[0] for pattern in REGISTRIES for found in pattern.finditer(text)]


def test_a_registry_is_recognised():
    assert registries("https://Py" + "PI.org/simple, files.python" + "hosted.org/x") != []
    assert registries("https://download.pytorch.org/whl/cpu") == []


def test_no_tracked_file_names_a_package_registry():
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:  # an unpacked archive, for example
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("[!.]*/**/*.*")]
    else:
        names = listed.stdout.split("\0")
    paths = [ROOT / name for name in names if not name.startswith(".dvcstore") and not name.endswith((".svg", ".png"))]
    found = {}
    for path in paths:
        if not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content and (named := registries(content.decode("utf-8", "replace"))):
            found[path.relative_to(ROOT).as_posix()] = named
    assert found == {}


@pytest.fixture(scope="module")
def pinned() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def test_every_requirement_is_pinned_to_one_version(pinned):
    pin = re.compile(r"[\w.-]+(\[[\w,.-]+\])?==[\w.!+-]+( ; .+)?")
    assert pinned
    assert [line for line in pinned if not pin.fullmatch(line)] == []


def test_every_package_that_is_asked_for_is_pinned(pinned):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    assert {canonical(line) for line in wanted} - {canonical(line) for line in pinned} == set()


def test_the_hooks_are_valid_and_programs_of_the_environment():
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config"], cwd=ROOT, check=True)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert "verify" in {hook["id"] for hook in hooks if "pre-push" in hook.get("stages", [])}
    programs = {hook["entry"].split()[0] for hook in hooks}
    assert {program for program in programs if not (Path(sys.executable).parent / program).exists()} == set()


STAMPS = re.findall(r"^\$\(VENV\)/(installed[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def setup(venv: Path, *variables: str, target: str = "setup") -> list[str]:
    """What `make` would run for an environment that is not there yet."""
    command = ["make", "--no-print-directory", "-n", target, f"PYTHON={sys.executable}", f"VENV={venv}", *variables]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()


def installs(lines: list[str]) -> list[str]:
    """What pip is to install, with its options."""
    return [line.partition(" install ")[2] for line in lines if " -m pip " in line]


def test_setup_makes_an_environment_and_installs_what_is_pinned(tmp_path):
    lines = setup(tmp_path / "v")
    made = next(index for index, line in enumerate(lines) if f"{sys.executable} -m venv {tmp_path / 'v'}" in line)

    assert installs(lines[:made]) == []
    assert installs(lines) == ["--constraint requirements.lock --editable ."]
    assert not (tmp_path / "v").exists()


def test_setup_takes_torch_from_another_index_first(tmp_path):
    index = "https://download.pytorch.org/whl/cpu"
    torch, everything = installs(setup(tmp_path / "v", f"TORCH_INDEX={index}"))

    assert torch.endswith(f"--constraint requirements.lock --index-url {index} torch torchvision")
    assert everything == "--constraint requirements.lock --editable ."


@pytest.mark.parametrize("stamp", STAMPS)
def test_what_is_installed_is_pinned_and_not_installed_again(tmp_path, stamp):
    lines = setup(tmp_path / "v", target=f"{tmp_path}/v/{stamp}")
    locks = ("--constraint requirements.lock ", "--requirement tests/s3_server.lock")

    assert [line for line in installs(lines) if not line.startswith(locks)] == []
    assert lines[-1].startswith("touch ")
    assert f"{tmp_path}/v/{stamp}" in lines[-1].split()


def test_each_part_of_the_environment_is_a_stamp():
    parts = ("", "-serve", "-scale", "-dev", "-prometheus", "-tools")
    assert {f"installed{part}" for part in parts} <= set(STAMPS)
