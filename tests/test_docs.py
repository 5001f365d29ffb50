"""The documents: what they link to, name, draw and tell people to copy is there and right."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path
    for path in [ROOT / "README.md", ROOT / "benchmarks/README.md", *(ROOT / "docs").glob("*.md")]
}
SCHEMAS = {
    ".gitlab-ci.yml": "vendor.gitlab-ci",
    "bitbucket-pipelines.yml": "vendor.bitbucket-pipelines",
    "azure-pipelines.yml": "vendor.azure-pipelines",
}
JOBS = {*SCHEMAS, "Jenkinsfile", "buildspec.yml"}
STEPS = ["test-quick", "pull", "repro", "report", "verify"]
DIAGRAMS = ("flowchart", "gitGraph", "sequenceDiagram", "stateDiagram-v2", "xychart-beta")

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED_FENCE = re.compile(r"^`(?P<name>[^`\n]+)`:\n\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
# Variables may stand before the target: make TORCH_INDEX=... repro
MAKE = re.compile(r"\bmake (?:[A-Z_]+=\S+ )*([a-z][a-z0-9-]*)")


def read(name: str) -> str:
    return DOCUMENTS[name].read_text(encoding="utf-8")


def prose(text: str) -> str:
    return CODE.sub("", FENCE.sub("", text))


def code(text: str) -> str:
    """Fenced blocks and inline code, one a line: where a command is a command, and not English."""
    return "\n".join([*(fence["text"] for fence in FENCE.finditer(text)), *CODE.findall(FENCE.sub("", text))])


def anchors(text: str) -> set[str]:
    """Ids that GitHub gives to the headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        label = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", label.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def targets() -> set[str]:
    """Targets of the Makefile that a person may call."""
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def jobs() -> dict[str, str]:
    """Files in docs/other-ci.md by the name that stands above each."""
    return {fence["name"]: fence["text"] for fence in NAMED_FENCE.finditer(read("docs/other-ci.md"))}


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """What the vendor's schema, as check-jsonschema ships it, says of a file."""
    # Azure's schema has patterns that are wrong in ECMAScript, the default.
    schema = ["--builtin-schema", SCHEMAS[path.name], "--regex-variant", "python"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_anchors_are_those_that_github_gives():
    text = "# A `b`, c\n\n```sh\n# no heading\n```\n## [Link](x.md) & more\n## Twice\n## Twice\n"
    assert anchors(text) == {"a-b-c", "link--more", "twice", "twice-1"}


def test_commands_are_found_in_code_alone():
    text = "We make mistakes.\n`make one`\n```sh\nmake PYTHON=python3.12 two-3  # and\nmake\n```\n"
    assert MAKE.findall(code(text)) == ["two-3", "one"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files_and_headings_that_exist(name):
    broken = []
    for link in LINK.findall(prose(read(name))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (DOCUMENTS[name].parent / path).resolve() if path else DOCUMENTS[name]
        inside = target == ROOT or ROOT in target.parents
        if not (inside and target.exists()) or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md"])
def test_every_workflow_is_explained(name):
    linked = {link.rpartition("/")[2] for link in LINK.findall(read(name)) if ".github/workflows/" in link}
    assert linked == {path.name for path in (ROOT / ".github/workflows").glob("*.yml")}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_are_targets_of_the_makefile(name):
    assert set(MAKE.findall(code(read(name)))) - targets() == set()


def test_every_target_is_shown_as_the_commands_behind_it():
    shown = dict(re.findall(r"^\| `make ([a-z-]+)[^`]*` \| (.+) \|$", read("README.md"), re.MULTILINE))
    assert set(shown) == targets() - {"help"}
    recipes = dict(re.findall(r"^(lint|lock|test):.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = {name: [" ".join(line.split()) for line in _joined(recipe)] for name, recipe in recipes.items()}
    for target in ("lint", "lock"):
        assert lines[target] == CODE.findall(shown[target])
    programs = {line.removeprefix("python -m ").split()[0] for line in lines["test"]}
    assert programs - {command.split()[0] for command in CODE.findall(shown["test"])} == set()


def _joined(recipe: str) -> list[str]:
    """Lines of a recipe, those that go on with a backslash as one."""
    return recipe.replace("\\\n", " ").splitlines()


def test_every_environment_variable_is_explained():
    sources = "".join(path.read_text() for room in ("delivery", "stages") for path in (ROOT / room).glob("*.py"))
    variable = re.compile(r"\bMNIST_[A-Z_]+\b")
    assert set(variable.findall(sources)) == set(variable.findall(read("README.md")))


def test_every_route_of_the_service_is_explained():
    source = (ROOT / "delivery/service.py").read_text()
    routes = set(re.findall(r'@app\.\w+\(\s*"(/[^"]*)"', source)) | {"/"}
    assert len(routes) > 5
    assert {f"`{route}`" for route in routes} <= set(re.findall(r"`[^`\n]+`", read("README.md")))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_diagrams_are_of_a_known_type(name):
    diagrams = [fence["text"] for fence in FENCE.finditer(read(name)) if fence["language"] == "mermaid"]
    assert [text for text in diagrams if text.split(maxsplit=1)[0] not in DIAGRAMS] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_fence_is_closed(name):
    assert FENCE.sub("", read(name)).count("```") == 0


def test_there_is_a_job_for_each_host():
    assert set(jobs()) == JOBS


@pytest.mark.parametrize("name", SCHEMAS)
def test_job_keeps_the_vendor_s_schema(tmp_path, name):
    path = tmp_path / name
    path.write_text(jobs()[name])
    answer = validate(path)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (".gitlab-ci.yml", "script:", "scripts:"),
        ("bitbucket-pipelines.yml", "depth: full", "depth: all"),
        ("azure-pipelines.yml", "displayName: Test", "displayname: Test"),
    ],
)
def test_vendor_s_schema_refuses_a_mistake(tmp_path, name, right, wrong):
    path = tmp_path / name
    text = jobs()[name]
    assert right in text
    path.write_text(text.replace(right, wrong))
    assert "Schema validation errors" in validate(path).stdout


def test_buildspec_has_the_phases_of_version_0_2():
    spec = yaml.safe_load(jobs()["buildspec.yml"])
    assert spec["version"] == 0.2
    assert set(spec) <= {"version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache"}
    assert list(spec["phases"]) == ["install", "pre_build", "build", "post_build"]
    for name, phase in spec["phases"].items():
        assert set(phase) <= {"run-as", "on-failure", "runtime-versions", "commands", "finally"}, name
        assert all(isinstance(command, str) for command in phase.get("commands", [])), name


def test_jenkinsfile_is_a_balanced_declarative_pipeline():
    text = jobs()["Jenkinsfile"]
    assert text.startswith("pipeline {\n")
    open_brackets = []
    for character in re.sub(r"'[^'\n]*'", "", text):
        if character in "{([":
            open_brackets.append(character)
        elif character in "})]":
            assert open_brackets.pop() + character in ("{}", "()", "[]")
    assert open_brackets == []


@pytest.mark.parametrize("name", sorted(JOBS))
def test_job_takes_the_same_steps_in_the_same_order(name):
    text = jobs()[name]
    assert MAKE.findall(text) == STEPS
    assert "https://download.pytorch.org/whl/cpu" in text
