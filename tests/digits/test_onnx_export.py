import dataclasses
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from digits import weights
from digits.model import DigitClassifier, Probabilities
from digits.onnx_export import to_onnx
from digits.onnx_model import OnnxModel
from tests.synthetic import digits

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
import digits.model
from digits import weights
from digits.onnx_export import to_onnx
assert Path(digits.model.__file__).is_relative_to(Path(sys.argv[1])), digits.model.__file__
Path("elsewhere.onnx").write_bytes(to_onnx(weights.load(Path("model.safetensors"))[0], {"epochs": "1"}))
"""


@pytest.fixture(scope="module")
def model(finished) -> DigitClassifier:
    return weights.load(finished / "models/model.safetensors")[0]


@pytest.fixture(scope="module")
def content(model) -> bytes:
    return to_onnx(model, {"epochs": "1"})


def agree(model: DigitClassifier, content: bytes, path: Path) -> None:
    path.write_bytes(content)
    images = digits(1500, seed=7).images
    images[:5] = np.array([0, 1, 127, 254, 255])[:, None, None]
    with torch.no_grad():
        expected = Probabilities(model)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(OnnxModel(path).probabilities(images), expected, rtol=0, atol=1e-6)


def test_onnx_equals_torch(model, content, tmp_path):
    agree(model, content, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "changes", [{"activation": "gelu", "deskew": True}, {"activation": "silu", "paddings": (2, 1)}]
)
def test_onnx_equals_torch_for_other_architectures(model_params, changes, tmp_path):
    torch.manual_seed(0)
    other = DigitClassifier(dataclasses.replace(model_params, **changes), 30.0, 70.0).eval()
    agree(other, to_onnx(other, {}), tmp_path / "model.onnx")


def test_interface_is_raw_pixels_in_and_probabilities_out(content):
    graph = onnx.load_from_string(content).graph
    (images,), (probabilities,) = graph.input, graph.output
    assert (images.name, images.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
    assert (probabilities.name, probabilities.type.tensor_type.elem_type) == ("probabilities", onnx.TensorProto.FLOAT)
    sizes = [[d.dim_param or d.dim_value for d in part.type.tensor_type.shape.dim] for part in (images, probabilities)]
    assert sizes == [["batch", 28, 28], ["batch", 10]]


def test_facts_are_all_the_metadata(content):
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    assert metadata == {"epochs": "1"}


def test_no_path_is_left_in_the_file(content):
    places = [str(ROOT), sysconfig.get_path("purelib"), str(Path.cwd()), str(Path.home()), ".py", "site-packages"]
    assert [place for place in places if place.encode() in content] == []


def test_same_bytes_come_from_a_clone_in_another_folder(finished, content, tmp_path):
    shutil.copytree(ROOT / "digits", tmp_path / "clone/digits", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(finished / "models/model.safetensors", tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "clone")}
    command = [sys.executable, "-P", "-c", SCRIPT, str(tmp_path / "clone")]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "elsewhere.onnx").read_bytes() == content


def test_exporting_is_silent(model, capfd):
    to_onnx(model, {})
    assert capfd.readouterr() == ("", "")
