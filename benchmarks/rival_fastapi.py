"""What the service is measured against: FastAPI as its documentation shows it. Imports nothing of this project.

python benchmarks/rival_fastapi.py {loop|threads} PORT models/model.onnx
"""

import sys

import numpy as np
import onnxruntime


def session(path: str) -> onnxruntime.InferenceSession:
    """The same model, on one thread as the service has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def bare(port: int, model: str, threads: bool = False) -> None:
    """FastAPI and pydantic without a log, limits or metrics; endpoint in the event loop or in FastAPI's threads."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Request(BaseModel):
        image: list[list[int]]

    class Answer(BaseModel):
        label: int
        probabilities: list[float]

    running, app = session(model), FastAPI()

    def answer(request: Request) -> Answer:
        probabilities = running.run(None, {"images": np.array([request.image], np.uint8)})[0][0]
        return Answer(label=int(probabilities.argmax()), probabilities=probabilities.tolist())

    async def answer_in_loop(request: Request) -> Answer:
        return answer(request)

    app.post("/v1/predict")(answer if threads else answer_in_loop)
    uvicorn.run(app, port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    name, number, path = sys.argv[1:]
    bare(int(number), path, threads=name == "threads")
