"""From trained weights to the ONNX file that ships: the same bytes wherever it is made."""

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping

import onnx
import torch

from digits.dataset import IMAGE_SIZE
from digits.model import DigitClassifier, Probabilities
from digits.onnx_model import INPUT, OUTPUT


def to_onnx(model: DigitClassifier, facts: Mapping[str, str]) -> bytes:
    """Export raw pixels uint8 (N, 28, 28) to probabilities float32 (N, 10), N free.

    Args:
        model: trained classifier, in evaluation mode.
        facts: written into the file's metadata, where whoever runs the model finds them.

    Returns:
        a checked ONNX file.
    """
    example = torch.zeros(2, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8)
    # The exporter prints its progress and warns about its own internals; a failure still raises.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Probabilities(model).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None  # None is returned only where a file is written
    proto = program.model_proto
    _strip(proto)
    for key, value in sorted(facts.items()):
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _strip(proto: onnx.ModelProto) -> None:
    """Take away what the exporter notes about the place of the export: stack traces with absolute paths."""
    proto.ClearField("metadata_props")
    graph = proto.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
