"""The benchmarks measure what they say: changes that they make are some, steps the workflow's, mistakes are found."""

import asyncio
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import asking, choices, crashes, machine, poisoning, pull_request, released, report, switching
from benchmarks.running import free_port
from delivery import artifact, registry
from delivery.log import PredictionLog, Scored
from delivery.smoke import smoke_test
from digits.model import DigitClassifier, parameter_count
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays, write_arrays

ROOT = Path(__file__).parents[1]


def test_a_text_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_text("one two one")
    machine.replace(path, "one", "1")
    assert path.read_text() == "1 two 1"


def test_a_text_that_is_not_there_is_no_change_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    with pytest.raises(LookupError, match="no 'two' to be replaced"):
        machine.replace(path, "two", "2")


def test_documents_quote_the_last_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine.RESULTS.mkdir(parents=True)
    readme, page = machine.QUOTING
    for document in machine.QUOTING:
        document.write_text("Before.\n\nAfter.\n")
    machine.publish("name", "command", "| 1 |")
    assert readme.read_text() == page.read_text() == "Before.\n\nAfter.\n"
    result = machine.RESULTS / "name.md"
    page.write_text(f"Before.\n\n{result.read_text()}\nAfter.\n")
    machine.publish("name", "command", "| 2 |\n| 3 |")
    assert "| 2 |\n| 3 |" in result.read_text()
    assert page.read_text() == f"Before.\n\n{result.read_text()}\nAfter.\n"
    assert readme.read_text() == "Before.\n\nAfter.\n"


@pytest.mark.parametrize(("file", "old", "new"), [*pull_request.CHANGES.values(), *report.CHANGES])
def test_what_a_benchmark_replaces_is_there(file, old, new):
    text = (ROOT / file).read_text()
    assert text.replace(old, new) != text


@pytest.mark.parametrize("name", choices.CHOICES)
def test_a_choice_is_a_network_within_the_limits(name):
    model, train = choices.params(choices.CHOICES[name], ROOT / "params.yaml")
    parameters = parameter_count(DigitClassifier(model))
    assert parameters < 25_000
    assert train.epochs == 1


def test_the_readme_s_choices_are_those_that_are_measured():
    section = (ROOT / "README.md").read_text().partition("\n## Experiments\n")[2].partition("\n## ")[0]
    items = re.findall(r"^- .*(?:\n  .*)*", section, re.MULTILINE)
    settings = [re.findall(r"-S '?([\w.]+=[^\s'`]+)", item) for item in items]
    assert settings == [choices.CHOICES["fast"], choices.CHOICES["four-convolutions"]]


def test_the_steps_of_a_pull_request_are_those_of_the_workflow():
    steps = yaml.safe_load((ROOT / ".github/workflows/ml-pipeline.yml").read_text())["jobs"]["pipeline"]["steps"]
    scripts = [step.get("run", "").replace("make plots", "python -m reporting.plots") for step in steps]
    commands = [" ".join(step).replace(sys.executable, "python").partition(" --base")[0] for step in pull_request.STEPS]
    places = [next(n for n, script in enumerate(scripts) if command in script) for command in commands]
    assert places == sorted(places)


def answer(sent, version, label, image=0, status=200):
    """What a client remembers of one request."""
    prediction = {"id": "01a20dfe-cfec-70b8-b4c0-e3050a955f3d", "label": label, "probabilities": []}
    return asking.Answer(sent, sent + 0.1, image, status, {"version": version, "predictions": [prediction]})


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    """Two images, of a 3 and of a 7."""
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    images = np.arange(2 * 784, dtype=np.uint8).reshape(2, 28, 28)
    write_arrays(Path("models/smoke.npz"), images=images, probabilities=np.eye(10, dtype=np.float32)[[3, 7]])
    return images


@pytest.mark.parametrize(
    ("sent", "version", "label", "found"),
    [
        (0.5, "v0.0.1", 3, 0),  # before any switch
        (1.5, "v0.0.1", 3, 0),  # under way: either version
        (1.5, "v0.0.2", 4, 0),
        (2.5, "v0.0.2", 4, 0),  # reported
        (2.5, "v0.0.1", 3, 1),
        (2.5, "v0.0.2", 3, 1),  # says one version, and is another's
        (3.5, "v0.0.1", 3, 0),  # the next one is under way
        (4.5, "v0.0.2", 4, 1),
        (9.0, "v0.0.1", 3, 0),  # after the last one
        (9.0, "v0.0.2", 4, 1),
    ],
)
def test_an_answer_of_a_version_that_was_replaced_is_wrong(smoke, sent, version, label, found):
    switches = [
        switching.Switch("v0.0.2", tagged=1, reported=2, seconds={}),
        switching.Switch("v0.0.1", tagged=3, reported=4, seconds={}),
    ]
    assert switching.wrong([answer(sent, version, label)], switches) == found


def test_a_connection_that_is_refused_is_a_failed_request():
    answers = []

    async def ask_for_a_moment():
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        await asking.one(free_port(), 3, [b""], stop, answers)

    asyncio.run(ask_for_a_moment())
    assert answers
    assert {tuple(line.rstrip().split("\t")[2:]) for line in answers} == {("3", "0", "{}")}


def test_an_answer_that_is_not_in_the_log_as_it_was_given_is_missing(smoke, tmp_path):
    log = PredictionLog(f"sqlite:///{tmp_path}/logs/production.db", "production")
    ids = log.append(Scored("v0.0.1", smoke, np.eye(10, dtype=np.float32)[[3, 7]], [3, 7]))
    log.close()

    def given(identifier, version, label, image):
        answered = answer(0, version, label, image)
        answered.body["predictions"][0]["id"] = identifier
        return answered

    right = [given(ids[0], "v0.0.1", 3, 0), given(ids[1], "v0.0.1", 7, 1)]
    wrong = [
        given("01a20dfe-cfec-70b8-b4c0-e3050a955f3d", "v0.0.1", 3, 0),
        given(ids[0], "v0.0.2", 3, 0),
        given(ids[0], "v0.0.1", 4, 0),
        given(ids[0], "v0.0.1", 3, 1),
    ]
    assert crashes.look(tmp_path, tmp_path / "copy", right) == ("ok", 0, 2)
    assert crashes.look(tmp_path, tmp_path / "copy", right + wrong) == ("ok", 4, 2)


def test_released_versions_pass_their_smoke_tests_and_call_no_digit_the_same(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(finished)
    repository = released.Released(tmp_path / "repository")
    labels = []
    for version in released.VERSIONS:
        to = tmp_path / version
        artifact.fetch(repository.path, f"mnist@{version}", to)
        model = OnnxModel(to / "model.onnx")
        assert smoke_test(model, to / "smoke.npz", 0).passed
        (images,) = read_arrays(to / "smoke.npz", "images")
        labels.append(model.probabilities(images).argmax(1))
    assert (labels[1] == (labels[0] + 1) % 10).all()
    repository.assign(released.VERSIONS[1], "staging")
    current = registry.current(repository.path, "mnist", "staging")
    assert current
    assert current.name == released.VERSIONS[1]


def test_labels_that_are_called_wrong_are_wrong_and_others_right():
    labels = (np.arange(9000) % 10).astype(np.uint8)
    images = np.broadcast_to(labels[:, None, None], (9000, 28, 28))  # each tells its class
    for attack in poisoning.ATTACKS.values():
        made, wrong = poisoning.log(images, labels, np.eye(10)[labels], attack, np.random.default_rng(0))
        assert ((made.labels != made.pixels[:, 0, 0]) == wrong).all()
        assert abs(wrong.sum() - attack.labels * attack.wrong) <= 100
        assert len(set(made.clients)) == attack.honest + attack.clients * bool(attack.labels)
        assert not wrong[: attack.honest * poisoning.EACH].any()
