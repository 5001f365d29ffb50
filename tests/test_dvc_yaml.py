"""dvc.yaml against the source: DVC follows no imports and sees no constants, so nothing else holds the two together."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from digits.params import PIPELINE, SECTIONS

ROOT = Path(__file__).parents[1]
PACKAGES = ("digits", "reporting", "stages")
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
IGNORED = [line[1:] for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]


def source(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def imported(path: str) -> set[str]:
    """Files of ours that a file imports, wherever in it (functions included)."""
    files = set()
    for node in ast.walk(source(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        else:
            continue
        places = [name.replace(".", "/") + ".py" for name in names if name.partition(".")[0] in PACKAGES]
        files |= {place for place in places if (ROOT / place).is_file()}
    return files


def closure(path: str) -> set[str]:
    """The file itself and all files of ours that it imports, directly or not."""
    found, waiting = set(), {path}
    while waiting:
        found |= waiting
        waiting = {other for each in waiting for other in imported(each)} - found
    return found


def outputs(stage: str, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and settings of each output."""
    for kind in kinds or ("outs", "metrics", "plots"):
        for entry in STAGES[stage].get(kind, []):
            yield from entry.items() if isinstance(entry, dict) else [(entry, {})]


def written(stage: str) -> set[str]:
    return {path for path, _ in outputs(stage)}


def constants(stage: str) -> dict[str, str]:
    """Paths that a stage's file declares."""
    module = importlib.import_module(f"stages.{stage}")
    return {name: value.as_posix() for name, value in vars(module).items() if isinstance(value, Path)}


def test_closure_follows_imports_of_imports_and_in_functions():
    files = closure("stages/train.py")
    assert {"digits/training.py", "digits/augmentation.py"} <= files  # in main(), and imported by that
    assert "digits/pictures.py" in imported("stages/evaluate.py")  # from digits import pictures


@pytest.mark.parametrize("stage", STAGES)
def test_command_runs_the_file_of_the_same_name(stage):
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"
    assert f"stages/{stage}.py" in STAGES[stage]["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_exactly_the_modules_that_the_stage_imports(stage):
    named = {path for path in STAGES[stage]["deps"] if path.endswith(".py")}
    assert named == closure(f"stages/{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_named_once_and_in_order(stage):
    deps = STAGES[stage]["deps"]
    assert len(set(deps)) == len(deps)
    modules = [path for path in deps if path.endswith(".py")]
    assert modules == sorted(modules)


def test_every_stage_is_in_the_pipeline():
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"} == set(STAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_no_stage_depends_on_computes_nothing(package):
    docstring, *rest = source(f"{package}/__init__.py").body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    assert isinstance(docstring.value.value, str)
    allowed = ["import sys", "sys.dont_write_bytecode = True"] if package == "stages" else []
    assert [ast.unparse(statement) for statement in rest] == allowed


@pytest.mark.parametrize(
    "path", [path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).glob("*.py")]
)
def test_nothing_is_imported_by_a_computed_name(path):
    names = {node.id for node in ast.walk(source(path)) if isinstance(node, ast.Name)}
    assert names.isdisjoint({"importlib", "__import__", "runpy", "exec", "eval"})


@pytest.mark.parametrize("stage", STAGES)
def test_params_name_exactly_the_sections_that_are_loaded(stage):
    calls = [
        node for path in closure(f"stages/{stage}.py") for node in ast.walk(source(path)) if isinstance(node, ast.Call)
    ]
    loaded = {
        call.args[1].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "load" and isinstance(call.args[1], ast.Constant)
    }
    if "params.yaml" in constants(stage).values():  # it reads the file as a whole
        loaded = set(PIPELINE)
    assert set(STAGES[stage].get("params", [])) == loaded


def test_params_file_has_exactly_the_known_sections():
    assert tuple(yaml.safe_load((ROOT / "params.yaml").read_text())) == SECTIONS


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_of_a_stage_is_a_dep_or_an_output(stage):
    known = {*STAGES[stage]["deps"], *written(stage), "params.yaml"}
    paths = {path for path in constants(stage).values() if not path.startswith("timings/")}
    assert {
        path for path in paths if path not in known and not any(out.startswith(f"{path}/") for out in known)
    } == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_dep_and_output_is_a_path_of_the_stage(stage):
    paths = set(constants(stage).values())
    named = {path for path in STAGES[stage]["deps"] if not path.endswith(".py")} | written(stage)
    assert {path for path in named if path not in paths and not any(path.startswith(f"{p}/") for p in paths)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_dep_is_a_source_file_or_another_stage_s_output(stage):
    made = {path for name in STAGES for path in written(name)}
    assert {path for path in STAGES[stage]["deps"] if path not in made and not (ROOT / path).is_file()} == set()


def test_evaluate_alone_reads_the_test_images():
    assert [stage for stage in STAGES if constants("evaluate")["TEST"] in STAGES[stage]["deps"]] == ["evaluate"]


def test_stages_write_exactly_the_outputs(finished):
    files = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    inputs = {path for path in files if path.startswith("data/raw/")} | {"params.yaml"}
    untracked = {"timings/train.json", "timings/evaluate.json"}
    assert files - inputs - untracked == {path for name in STAGES if name != "fetch" for path in written(name)}


def test_plotted_columns_are_in_the_files(finished):
    tables = {path: plot for name in STAGES for path, plot in outputs(name, "plots") if path.endswith((".tsv", ".csv"))}
    assert tables
    for path, plot in tables.items():
        columns = (finished / path).read_text().splitlines()[0].replace("\t", ",").split(",")
        assert {plot["x"], plot["y"]} <= set(columns), path
        assert all(plot.get(words) for words in ("title", "x_label", "y_label")), path


def test_plot_templates_are_there():
    named = {plot["template"] for name in STAGES for _, plot in outputs(name, "plots") if "template" in plot}
    assert {name for name in named if not (ROOT / f".dvc/plots/{name}.json").is_file()} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_cached_outputs_are_ignored_by_git_and_others_are_not(stage):
    for path, settings in outputs(stage):
        ignored = any(path == line or path.startswith(f"{line.rstrip('/')}/") for line in IGNORED)
        assert ignored == settings.get("cache", True), path


def test_only_metrics_and_plots_and_reports_go_to_git():
    in_git = [path for name in STAGES for path, settings in outputs(name) if not settings.get("cache", True)]
    assert [path for path in in_git if not path.startswith("results/")] == []


def test_every_output_can_be_pushed():
    assert [path for name in STAGES for path, settings in outputs(name) if settings.get("push") is False] == []


def test_the_model_that_ships_is_an_artifact():
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text())["artifacts"]
    assert artifacts["mnist"]["path"] == constants("export")["ONNX"]
    assert artifacts["mnist"]["type"] == "model"


def test_check_compares_metrics_that_evaluate_writes(finished):
    from digits.limits import CheckParams, judge
    from digits.params import load
    from digits.storage import read_json

    limits = load(CheckParams, "check", ROOT / "params.yaml").limits
    findings = judge(read_json(finished / "results/evaluate/metrics.json"), limits)
    strict = {(finding.metric, finding.relation): finding.limit for finding in findings}
    assert strict["parameters", "below"] == 25000
    assert strict["accuracy", "above"] == 0.95
    assert strict["epochs", "at_most"] == 1


def test_params_of_the_project_are_valid():
    from digits.architecture import ModelParams
    from digits.dataset import DataParams, PreprocessParams
    from digits.params import load
    from digits.recipe import TrainParams
    from stages.evaluate import EvaluateParams

    sections = {"data": DataParams, "preprocess": PreprocessParams, "model": ModelParams, "train": TrainParams}
    for name, section in (sections | {"evaluate": EvaluateParams}).items():
        load(section, name, ROOT / "params.yaml")
    assert load(TrainParams, "train", ROOT / "params.yaml").epochs == 1
