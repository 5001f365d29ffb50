"""What the service is measured against: LitServe with its defaults, one API server and one worker.

python benchmarks/rival_litserve.py PORT models/model.onnx    (in an environment of its own)
"""

import sys
from typing import Any

import litserve  # type: ignore[import-not-found]
import numpy as np
import onnxruntime


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The same model, on one thread as the service has it."""

    def setup(self, device: str) -> None:
        """Load it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """Rows of pixels."""
        return np.array([request["image"]], np.uint8)

    def predict(self, x: np.ndarray) -> Any:
        """Ten probabilities."""
        return self.session.run(None, {"images": x})[0][0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """What the other services answer."""
        return {"label": int(output.argmax()), "probabilities": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", api_path="/v1/predict")
    server.run(port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1, log_level="warning")
