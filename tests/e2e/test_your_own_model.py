"""docs/your-own-model.md: the code on that page, through the whole pipeline, on synthetic images."""

import ast
import hashlib
import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.e2e.project import ROOT, STAGES, wait_for
from tests.e2e.service import started

pytestmark = pytest.mark.e2e

SIZE = 20


def shapes(count, seed):
    """Drawings of discs, rings, squares and crosses, of several sizes, at several places, with noise."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 4
    radius = generator.uniform(4, 7, (count, 1, 1))
    y, x = (np.arange(SIZE)[:, None] - generator.uniform(8, 11, (count, 1, 1)), np.arange(SIZE))
    x = x - generator.uniform(8, 11, (count, 1, 1))
    distance, corner = np.hypot(x, y), np.maximum(abs(x), abs(y))
    disc = distance < radius
    drawn = np.select(
        [labels[:, None, None] == label for label in range(4)],
        [disc, disc & (distance > radius - 2), corner < radius * 0.8, disc & (np.minimum(abs(x), abs(y)) < 1.5)],
    )
    return (drawn * 200 + generator.integers(0, 40, drawn.shape)).astype(np.uint8), labels


def blocks():
    """Code of each section of the page that names a file in its heading."""
    sections = (ROOT / "docs/your-own-model.md").read_text().split("\n## ")[1:]
    named = {re.search(r"`(.+)`", section.splitlines()[0]): section for section in sections}
    return {
        heading[1]: re.search(r"```\w+\n(.*?)```", section, re.DOTALL)[1]
        for heading, section in named.items()
        if heading
    }


def names(statement):
    """What a statement at the top of a module defines."""
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [statement.name] if isinstance(statement, ast.ClassDef | ast.FunctionDef) else []


def first_line(statement):
    return min([statement.lineno, *(decorator.lineno for decorator in getattr(statement, "decorator_list", []))]) - 1


def replace_definitions(path: Path, code: str) -> None:
    """Put each definition of `code` in the place of the one with its name."""
    lines = path.read_text().splitlines()
    new = {
        name: code.splitlines()[first_line(statement) : statement.end_lineno]
        for statement in ast.parse(code).body
        for name in names(statement)
    }
    for statement in reversed(ast.parse(path.read_text()).body):
        for name in names(statement):
            if name in new:
                lines[first_line(statement) : statement.end_lineno] = new.pop(name)
    assert not new, f"{path} defines no {', '.join(new)}"
    path.write_text("\n".join(lines) + "\n")


def merge(settings, changes):
    for key, value in changes.items():
        settings[key] = merge(settings[key], value) if isinstance(value, dict) else value
    return settings


@pytest.fixture(scope="module")
def own(checkout, tmp_path_factory):
    """A fresh clone, changed as the page says."""
    folder = tmp_path_factory.mktemp("own")
    train, test = shapes(3000, 1), shapes(1000, 2)
    arrays = {"train_images": train[0], "train_labels": train[1], "test_images": test[0], "test_labels": test[1]}
    np.savez_compressed(folder / "shapes.npz", **arrays)
    md5 = hashlib.md5((folder / "shapes.npz").read_bytes()).hexdigest()

    project = checkout.clone(folder / "project")
    code = blocks()
    replace_definitions(project / "digits/dataset.py", code["digits/dataset.py"])
    (project / "stages/fetch.py").write_text(code["stages/fetch.py"].replace("0" * 32, md5))
    replace_definitions(project / "digits/model.py", code["digits/model.py"])
    params = merge(project.params, yaml.safe_load(code["params.yaml"]))
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    project.env = project.env | {"SHAPES_URL": (folder / "shapes.npz").as_uri()}
    project.dvc("pull", "data/production")  # empty, and so fit for images of any size
    return project


def test_at_most_four_files_change(own):
    changed = own.git("diff", "--name-only", "HEAD", "--", ".", ":!dvc.lock", ":!results").split()

    assert sorted(changed) == sorted(blocks())
    assert len(changed) <= 4


def test_what_is_changed_is_in_style(own):
    own.run("ruff", "check", *blocks().keys() - {"params.yaml"})
    own.run("ruff", "format", "--check", *blocks().keys() - {"params.yaml"})
    if (ROOT / ".mypy_cache").exists():  # what `make lint` learned about torch and the others need not be learned again
        shutil.copytree(ROOT / ".mypy_cache", own / ".mypy_cache")
    own.run("mypy", "-p", "digits", "-p", "stages")


def test_another_file_at_the_address_is_refused(own, tmp_path):
    (tmp_path / "shapes.npz").write_bytes(b"something else")
    output = own.run("python", "-m", "stages.fetch", fails=True, env={"SHAPES_URL": (tmp_path / "shapes.npz").as_uri()})

    assert "wrong checksum" in output
    assert "Traceback" not in output


def test_the_whole_pipeline_runs(own):
    lock = (own / "dvc.lock").read_bytes()

    assert own.repro() == STAGES
    assert own.repro() == ()
    assert (own / "dvc.lock").read_bytes() != lock
    assert own.lock["train"]["params"]["params.yaml"]["model"]["channels"] == [8, 16, 32]
    metrics = json.loads((own / "results/evaluate/metrics.json").read_text())
    assert metrics["accuracy"] > 0.95
    assert list(metrics["per_class"]) == ["0", "1", "2", "3"]
    assert json.loads((own / "results/check/verdict.json").read_text())["passed"] is True
    card = (own / "results/check/model_card.md").read_text()
    assert card.startswith("# Model card: Shapes classifier\n")
    assert "It reads one 20x20 image" in card
    assert "of 4 classes" in card
    assert [path.name for path in (own / "data/raw").iterdir()] == ["Shapes"]


def test_it_is_shared_like_any_other(own):
    own.dvc("push")
    own.commit("shapes")

    own.run("python", "-m", "reporting.verify")


def test_it_is_served_and_watched_like_any_other(own, tmp_path):
    images, labels = shapes(60, 3)
    command = ["python", "-m", "monitoring.serve", "--port", "0"]
    with started(command, own.path, own.env, tmp_path / "serve.log") as service:
        url = service.ready()
        asked(f"{url}/v1/predict", {"images": images[::-1].tolist()})  # with the others, a window's worth
        answer = asked(f"{url}/v1/predict", {"images": images.tolist()})
        found = [prediction["label"] for prediction in answer["predictions"]]
        assert np.mean(np.array(found) == labels) > 0.9
        assert {len(prediction["probabilities"]) for prediction in answer["predictions"]} == {4}
        with pytest.raises(urllib.error.HTTPError, match="422"):
            asked(f"{url}/v1/predict", {"image": np.zeros((28, 28), int).tolist()})
        sent = {"id": answer["predictions"][0]["id"], "label": int(labels[0])}
        assert asked(f"{url}/v1/feedback", sent)["status"] == "stored"
        wait_for(lambda: looked_at(url))


def asked(url, content):
    request = urllib.request.Request(url, json.dumps(content).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def looked_at(url):
    """Whether the monitor has judged the window that was sent."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        return "mnist_monitor_p_value{" in answer.read().decode()
