"""Who imports what: torch costs seconds, so only what needs it may bring it along; and arrows point one way."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for package in ("delivery", "digits", "monitoring", "reporting", "scaling", "stages")
    for path in (ROOT / package).glob("*.py")
)
NEED_TORCH = {
    "digits.augmentation",
    "digits.batch_normalisation",
    "digits.deskew",
    "digits.distributed",
    "digits.launch",
    "digits.model",
    "digits.onnx_export",
    "digits.training",
    "digits.weights",
    "stages.export",
    "stages.fetch",
}
HEAVY = ("torch", "torchvision", "dvclive", "dvc", "sklearn", "pandas", "scipy", "ray", "optuna")


def loaded(*modules: str) -> set[str]:
    """Heavy packages that a fresh interpreter has loaded after importing `modules`."""
    script = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sys.modules)"
    command = [sys.executable, "-c", script, *modules]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(HEAVY) & set(answer.stdout.split())


def test_what_need_not_import_torch_does_not():
    extras = ("monitoring", "scaling")
    free = [name for name in MODULES if name not in NEED_TORCH and not name.startswith(extras)]
    assert {
        "delivery.serve",
        "digits.onnx_model",
        "digits.scoring",
        "stages.preprocess",
        "stages.evaluate",
        "stages.check",
    } < set(free)
    assert loaded(*free) == set()


def test_torchvision_is_for_fetch_alone():
    assert "torchvision" in loaded("stages.fetch")
    others = (name for name in MODULES if name != "stages.fetch" and not name.startswith("scaling"))
    assert loaded(*others) == {"scipy", "torch"}


@pytest.mark.parametrize(
    ("stage", "brings"),
    [
        ("preprocess", set()),
        ("train", {"torch", "dvclive"}),
        ("export", {"torch"}),
        ("evaluate", set()),
        ("check", set()),
    ],
)
def test_what_a_stage_loads_while_it_runs(pipeline, stage, brings):
    script = f"import sys\nfrom stages import {stage}\n{stage}.main()\nprint()\nprint(*sys.modules)"
    command = [sys.executable, "-c", script]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run(command, cwd=pipeline, env=env, capture_output=True, text=True, check=True)
    modules = set(answer.stdout.splitlines()[-1].split())
    assert {"torch", "torchvision", "dvclive", "sklearn", "pandas", "scipy", "ray"} & modules == brings


def test_a_service_with_its_monitor_and_dashboard_leaves_scipy_to_the_process_that_watches():
    assert loaded("monitoring.serve") == set()


def test_what_is_said_before_a_sweep_runs_does_not_wait_for_ray():
    assert loaded("scaling.sweep", "scaling.seeds", "scaling.keep", "scaling.frontier") == set()


def test_monitoring_needs_scipy_and_nothing_else_that_is_heavy():
    assert loaded(*(name for name in MODULES if name.startswith("monitoring"))) == {"scipy"}


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_one_way(module):
    allowed = {
        "delivery": {"delivery", "digits"},
        "digits": {"digits"},
        "monitoring": {"delivery", "digits", "monitoring", "reporting"},
        "reporting": {"digits", "reporting"},
        "scaling": {"digits", "scaling", "stages"},
        "stages": {"digits"},
    }[module.partition(".")[0]]
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add(str(node.module).partition(".")[0])
    rooms = {"benchmarks", "delivery", "digits", "monitoring", "reporting", "scaling", "stages", "tests"}
    assert roots & rooms <= allowed


def known_of_delivery(path: Path) -> set[str]:
    """Modules of delivery's that a file imports."""
    return {
        f"delivery.{alias.name}" if node.module == "delivery" else str(node.module)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "delivery"
        for alias in node.names
    }


def test_monitoring_knows_of_delivery_the_prediction_log_and_where_it_is():
    """But for the service that it stands beside or asks, and for retraining, which wants the champion and branches."""
    others = {
        "adopt": {"delivery.git"},
        "branches": {"delivery.git"},
        "challenge": {"delivery.artifact", "delivery.git", "delivery.registry"},
        "dashboard": {"delivery.pages", "delivery.service"},  # the page is the service's
        "feedback_branch": {"delivery.git"},
        "github": {"delivery.printable"},
        "latency": {"delivery.metrics"},
        "report": {"delivery.pages"},
        "retrain": {"delivery.git", "delivery.printable"},
        "sending": {"delivery.client"},
        "serve": {"delivery.serve"},
        "simulate": {"delivery.client"},
    }
    log = {"delivery.history", "delivery.schema", "delivery.settings"}
    named = {path.stem: known_of_delivery(path) - log for path in (ROOT / "monitoring").glob("*.py")}
    assert {name: modules for name, modules in named.items() if modules} == others
