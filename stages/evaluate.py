"""Evaluate: score the ONNX file that will ship on the test images, which no other stage reads.

From the same images it cuts what comes later: a reference for drift, traffic for simulations, a smoke set.
Run by `dvc repro`, or alone: python -m stages.evaluate
"""

import csv
import dataclasses
import io
import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np

from digits import drift_reference, pictures, scoring
from digits.dataset import CLASSES, Labelled, labelled
from digits.dataset import split as stratified
from digits.errors import run
from digits.onnx_model import OnnxModel, OnnxModelError
from digits.params import Range, load
from digits.storage import read_arrays, replacing, write_arrays, write_json, write_text

ONNX = Path("models/model.onnx")
TEST = Path("data/prepared/test.npz")
METRICS = Path("results/evaluate/metrics.json")
CONFUSION = Path("results/evaluate/confusion.csv")
MISTAKES = Path("results/evaluate/worst_mistakes.png")
PREDICTIONS = Path("results/evaluate/predictions.npz")
REFERENCE = Path("models/reference.npz")
SMOKE = Path("models/smoke.npz")
TRAFFIC = Path("data/traffic.npz")
TIMES = Path("timings/evaluate.json")


@dataclasses.dataclass(frozen=True)
class EvaluateParams:
    """Section `evaluate`: how the test images are drawn into halves, and how many the smoke set holds."""

    seed: Annotated[int, Range(at_least=0, below=2**32)]
    smoke_size: Annotated[int, Range(at_least=CLASSES, at_most=1000)]


def main() -> None:
    """Run the stage."""
    params = load(EvaluateParams, "evaluate")
    model = OnnxModel(ONNX, threads=2)
    test = labelled(read_arrays(TEST, "images", "labels"), str(TEST))
    probabilities = model.probabilities(test.images)
    predicted = probabilities.argmax(1)

    metrics = scoring.metrics(probabilities, test.labels)
    write_json(METRICS, metrics | training_facts(model) | {"onnx_bytes": ONNX.stat().st_size})
    write_text(CONFUSION, rows(test.labels, predicted))
    with replacing(MISTAKES) as temporary:
        pictures.worst_mistakes(*test, probabilities).save(temporary, "PNG")
    write_arrays(PREDICTIONS, labels=test.labels, predicted=predicted.astype(np.uint8), probabilities=probabilities)
    derive(test, probabilities, params)
    write_json(TIMES, latency(OnnxModel(ONNX), test.images))


def training_facts(model: OnnxModel) -> dict[str, int]:
    """What export wrote into the file about its training.

    Raises:
        OnnxModelError: it is not there, so another program made the file.
    """
    try:
        return {name: int(model.facts[name]) for name in ("parameters", "epochs")}
    except (KeyError, ValueError) as error:
        raise OnnxModelError(
            f"{ONNX}: its metadata does not state parameters and epochs ({error}); restore what export made with "
            f"`dvc checkout`, or run `dvc repro`"
        ) from None


def derive(test: Labelled, probabilities: np.ndarray, params: EvaluateParams) -> None:
    """Write what serving and monitoring need, each from images that this model has not been trained on."""
    # Purely random, not stratified: the reference has to vary as production does.
    order = np.random.Generator(np.random.PCG64(params.seed)).permutation(len(test.labels))
    half = len(order) // 2
    # Traffic stays shuffled: MNIST's later test images are other people's, and harder, so in order they would drift.
    reference, traffic = np.sort(order[:half]), order[half:]
    write_arrays(REFERENCE, **vars(drift_reference.build(test.images[reference], probabilities[reference])))
    write_arrays(TRAFFIC, **test.take(traffic)._asdict())
    _, smoke = stratified(test.labels, params.smoke_size, params.seed)
    kept = test.take(smoke)
    write_arrays(SMOKE, images=kept.images, labels=kept.labels, probabilities=probabilities[smoke])


def rows(labels: np.ndarray, predicted: np.ndarray) -> str:
    """One line an image with its true and its predicted class, as DVC's confusion plot counts them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["actual", "predicted"])
    writer.writerows(zip(labels.tolist(), predicted.tolist(), strict=True))
    return text.getvalue()


def latency(model: OnnxModel, images: np.ndarray, calls: int = 300) -> dict[str, float]:
    """Milliseconds for one image on one thread: median and 99th percentile of some hundred calls."""
    times = []
    for index in range(calls):
        image = images[index % len(images)][None]
        started = time.perf_counter()
        model.probabilities(image)
        times.append(1000 * (time.perf_counter() - started))
    return {
        "single_image_ms_median": round(statistics.median(times), 4),
        "single_image_ms_p99": round(statistics.quantiles(times, n=100)[98], 4),
    }


if __name__ == "__main__":
    run(main)
