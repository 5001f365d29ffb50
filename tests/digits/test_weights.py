import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from digits.errors import run
from digits.model import DigitClassifier
from digits.weights import WeightsError, load, serialize
from tests.synthetic import digits


@pytest.fixture
def model(model_params):
    torch.manual_seed(0)
    model = DigitClassifier(model_params, 33.0, 78.0)
    model.temperature.fill_(0.7)
    return model.eval()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def rewritten(content: bytes, **changes: object) -> bytes:
    """The same tensors under a changed description; None takes a key away."""
    length = int.from_bytes(content[:8], "little")
    description = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["model"]) | changes
    kept = {key: value for key, value in description.items() if value is not None}
    return safetensors.torch.save(safetensors.torch.load(content), {"model": json.dumps(kept)})


def test_model_and_facts_come_back(model, path):
    path.write_bytes(serialize(model, {"epochs": 1, "dataset": "MNIST"}))
    loaded, facts = load(path)
    assert facts == {"epochs": 1, "dataset": "MNIST"}
    assert loaded.params == model.params
    assert not loaded.training
    images = torch.from_numpy(digits(20).images)
    assert torch.equal(loaded(images), model(images))


def test_normalisation_and_temperature_are_stored(model, path):
    path.write_bytes(serialize(model, {}))
    loaded, _ = load(path)
    assert [x.item() for x in (loaded.pixel_mean, loaded.pixel_std)] == [33.0, 78.0]
    assert loaded.temperature.item() == pytest.approx(0.7)


def test_same_model_has_the_same_bytes(model, path):
    content = serialize(model, {"a": 1, "b": 2})
    path.write_bytes(content)
    assert serialize(load(path)[0], {"b": 2, "a": 1}) == content


def refused(path: Path, reason: str = "") -> None:
    with pytest.raises(WeightsError, match=rf"model\.safetensors: not a model of this project \(.*{reason}"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"no model", bytes(100), b"\xff" * 100])
def test_file_that_is_no_model_is_refused(path, content):
    path.write_bytes(content)
    refused(path)


def test_truncated_model_is_refused(model, path):
    path.write_bytes(serialize(model, {})[:-10])
    refused(path)


class Trap:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("save", [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj))])
def test_pickle_is_refused_and_not_run(path, save, monkeypatch):
    monkeypatch.chdir(path.parent)
    save(Trap(), path)
    refused(path)
    assert not Path("sprung").exists()


def test_weights_without_a_description_are_refused(model, path):
    path.write_bytes(safetensors.torch.save(model.state_dict()))
    refused(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"params": None}, "params"),
        ({"facts": None}, "facts"),
        ({"facts": 5}, "not iterable"),
        ({"params": 5}, "model: expected a mapping"),
        ({"params": {"channels": [4]}}, "missing: model.kernels"),
    ],
)
def test_broken_description_is_refused(model, path, changes, reason):
    path.write_bytes(rewritten(serialize(model, {}), **changes))
    refused(path, reason)


def test_architecture_that_does_not_fit_the_weights_is_refused(model, path):
    params = {"channels": [5, 8], "kernels": [5, 3], "paddings": [0, 0], "pools": [3, 2], "activation": "relu"}
    path.write_bytes(rewritten(serialize(model, {}), params=params | {"deskew": False}))
    with pytest.raises(WeightsError, match="size mismatch"):
        load(path)


def test_missing_file_is_one_message(tmp_path):
    with pytest.raises(SystemExit, match=r"^error: .*none\.safetensors: No such file or directory\n.*run `dvc repro`"):
        run(lambda: load(tmp_path / "none.safetensors"))
