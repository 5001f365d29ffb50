import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest

from digits.onnx_model import OnnxModel, OnnxModelError
from tests.synthetic import digits


@pytest.fixture
def path(pipeline):
    return pipeline / "models/model.onnx"


def refused(path: Path, message: str) -> None:
    with pytest.raises(OnnxModelError, match=message) as caught:
        OnnxModel(path)
    assert str(path) in str(caught.value)


def test_rows_are_probabilities(path):
    probabilities = OnnxModel(path).probabilities(digits(30).images)
    assert (probabilities.shape, probabilities.dtype) == ((30, 10), np.float32)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_result_of_an_image_does_not_depend_on_its_batch(path):
    model, images = OnnxModel(path), digits(2050).images
    together = model.probabilities(images)
    alone = np.concatenate([model.probabilities(images[[index]]) for index in (0, 999, 1000, 2049)])
    np.testing.assert_allclose(together[[0, 999, 1000, 2049]], alone, rtol=0, atol=1e-6)


def test_number_of_threads_does_not_change_the_result(path):
    images = digits(500).images
    one, two = (OnnxModel(path, threads=threads).probabilities(images) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_facts_of_training_are_in_the_file(path):
    assert OnnxModel(path).facts == {"dataset": "MNIST", "epochs": "1", "parameters": "1142"}


@pytest.mark.parametrize("content", [b"", b"no model", bytes(100), pickle.dumps({"weights": 1})])
def test_file_that_is_no_model_is_refused(path, content):
    path.write_bytes(content)
    refused(path, r"not an ONNX model \(.*\); remove it, then restore it with `dvc checkout`")


def test_truncated_model_is_refused(path):
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "not an ONNX model")


def test_model_with_weights_in_another_file_is_refused(path, monkeypatch):
    monkeypatch.chdir(path.parent)  # where the other file would be found
    model = onnx.load(path)
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=200)
    assert Path("weights.bin").stat().st_size > 0
    refused(path, r"not an ONNX model \(.*[Ee]xternal data")


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for part in (*model.graph.input, *model.graph.output):
        part.name = new if part.name == old else part.name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


@pytest.mark.parametrize(("old", "new"), [("images", "pixels"), ("probabilities", "scores")])
def test_model_with_another_interface_is_refused(path, old, new):
    model = onnx.load(path)
    rename(model, old, new)
    onnx.save(model, path)
    refused(path, rf"expected images \(uint8\) in and probabilities out; found .*{new}")


def test_model_with_another_type_of_input_is_refused(path):
    node = onnx.helper.make_node("Identity", ["images"], ["probabilities"])
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 10])
        for name in ("images", "probabilities")
    ]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    refused(path, r"expected images \(uint8\) in")
