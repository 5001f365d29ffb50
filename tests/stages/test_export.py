import numpy as np
import pytest
import torch

from digits import weights
from digits.model import DigitClassifier
from digits.onnx_model import OnnxModel
from digits.storage import read_arrays
from stages import export


def test_exporting_again_gives_the_same_bytes(pipeline):
    before = export.ONNX.read_bytes()
    export.main()
    assert export.ONNX.read_bytes() == before


def test_difference_to_torch_on_validation_images_is_printed(pipeline, capsys, monkeypatch):
    compared, right = [], OnnxModel.probabilities
    monkeypatch.setattr(
        OnnxModel, "probabilities", lambda model, images: compared.append(images) or right(model, images)
    )
    export.main()
    (images,) = compared
    assert np.array_equal(images, read_arrays(export.VALIDATION, "images")[0])
    words, _, difference = capsys.readouterr().out.strip().rpartition(": ")
    assert words == "largest difference of a probability, ONNX Runtime and torch, 100 images"
    assert float(difference) <= 1e-6


@pytest.mark.parametrize("error", [1e-3, np.nan])
def test_model_that_computes_something_else_is_refused(pipeline, monkeypatch, error):
    before = export.ONNX.read_bytes()
    right = OnnxModel.probabilities
    monkeypatch.setattr(OnnxModel, "probabilities", lambda model, images: right(model, images) + np.float32(error))
    with pytest.raises(export.ParityError, match=r"^models/model\.onnx: differs from models/model\.safetensors by"):
        export.main()
    assert export.ONNX.read_bytes() == before
    assert [path.name for path in export.ONNX.parent.glob(".*")] == []


def test_facts_of_the_weights_go_into_the_file(pipeline, model_params):
    torch.manual_seed(1)
    export.WEIGHTS.write_bytes(weights.serialize(DigitClassifier(model_params).eval(), {"epochs": 0}))
    export.main()
    assert OnnxModel(export.ONNX).facts == {"epochs": "0"}


def test_weights_that_are_none_are_refused(pipeline):
    export.WEIGHTS.write_bytes(b"no weights")
    with pytest.raises(weights.WeightsError, match=r"^models/model\.safetensors: not a model of this project"):
        export.main()
