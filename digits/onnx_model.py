"""The model that ships, as ONNX Runtime runs it. Does not import torch."""

import os
from pathlib import Path

import numpy as np
import onnxruntime

from digits.errors import PipelineError

_BATCH = 1000
INPUT, OUTPUT = "images", "probabilities"


class OnnxModelError(PipelineError):
    """A file is no ONNX model, or one with another interface."""


class OnnxModel:
    """Raw pixels uint8 (N, H, W) in, class probabilities float32 (N, classes) out.

    Args:
        path: the .onnx file. It is read as a whole; one that refers to other files is refused.
        threads: number of CPU threads; it does not change the result.

    Raises:
        OnnxModelError: the file is no ONNX model, or its input and output are not the pipeline's.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The next level up lays convolutions out by the width of the CPU's registers, which changes the last bits of
        # the result from one machine to another.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        # Weights in other files are looked for beside this, where there can't be any; by default in the working folder.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        content = path.read_bytes()
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no other base class
            raise OnnxModelError(
                f"{path}: not an ONNX model ({str(error).splitlines()[0]}); "
                f"remove it, then restore it with `dvc checkout`, `dvc pull` or `dvc repro`"
            ) from None
        names = [node.name for node in session.get_inputs()], [node.name for node in session.get_outputs()]
        if names != ([INPUT], [OUTPUT]) or session.get_inputs()[0].type != "tensor(uint8)":
            raise OnnxModelError(f"{path}: expected {INPUT} (uint8) in and {OUTPUT} out; found {names[0]}, {names[1]}")
        self._session = session
        self.facts: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities float32 (N, classes) of images uint8 (N, H, W)."""
        parts = [
            self._session.run([OUTPUT], {INPUT: images[start : start + _BATCH]})[0]
            for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate(parts)
