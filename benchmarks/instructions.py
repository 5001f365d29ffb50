"""Do other processors compute the same bits? Trains and scores a little on emulated ones (QEMU) and compares.

Needs qemu-x86_64 (Debian: qemu-user). python -m benchmarks.instructions
"""

import argparse
import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

from benchmarks.choices import params
from benchmarks.machine import publish, table
from digits import drift_reference
from digits.dataset import labelled
from digits.onnx_model import OnnxModel
from digits.recipe import pin_cpu
from digits.storage import read_arrays, read_json
from stages.evaluate import ONNX, TEST
from stages.preprocess import STATISTICS, TRAIN

STEPS = 6  # an emulated processor needs ten seconds for each
SCORED = 300
PARTS = ("weights", "temperature", "probabilities", "reference")
PROCESSORS = {
    "Haswell-v4": "Intel 2013, AVX2",
    "Skylake-Client-v4": "Intel 2015, AVX2",
    "EPYC-v3": "AMD 2017, AVX2",
    "EPYC-Milan-v1": "AMD 2021, AVX2",
}


def main() -> None:
    """Compare each processor with this one, or (with --measure) compute on whatever this is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=["avx2", "native"])
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(compute(arguments.measure)))
        return
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        sys.exit("error: qemu-x86_64 not found; install Debian's qemu-user, or your system's counterpart")
    here = measure([], "avx2")
    runs = {"this machine, threads from OMP_NUM_THREADS=1": measure([], "avx2", OMP_NUM_THREADS="1")}
    runs |= {f"{name} ({made})": measure([emulator, "-cpu", name], "avx2") for name, made in PROCESSORS.items()}
    runs["this machine, train.instructions=native"] = measure([], "native")
    rows = [
        [name, *("same" if result[part] == here[part] else "other" for part in PARTS)] for name, result in runs.items()
    ]
    body = (
        f"Bits of the weights after {STEPS} steps of the default training (`train.instructions: avx2`), of the "
        f"temperature that calibrates them, of ONNX Runtime's probabilities for {SCORED} images with the shipped "
        f"model, and of the drift reference that is made of them, against this machine's:\n\n"
        + table(["processor", *PARTS], rows)
    )
    publish("instructions", "python -m benchmarks.instructions", body, "torch", "onnxruntime", "numpy")


def measure(emulator: list[str], instructions: str, **environment: str) -> dict[str, str]:
    """Checksums that a process on the chosen processor comes to."""
    command = ["env", *(f"{key}={value}" for key, value in environment.items()), *emulator]
    command += [sys.executable, "-m", "benchmarks.instructions", "--measure", instructions]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    result: dict[str, str] = json.loads(output)
    print(emulator[2:], instructions, environment, result, flush=True)
    return result


def compute(instructions: str) -> dict[str, str]:
    """Checksums of `PARTS` on this processor."""
    model_params, recipe = params([f"train.instructions={instructions}", "train.validations=1"])
    pin_cpu(recipe)
    import torch

    from digits import training

    torch.set_num_threads(recipe.threads)
    train = labelled(read_arrays(TRAIN, "images", "labels"), str(TRAIN))
    few = type(train)(train.images[: STEPS * recipe.batch_size], train.labels[: STEPS * recipe.batch_size])
    pixels = read_json(STATISTICS)["train"]
    model = training.build(
        model_params, recipe, torch.from_numpy(few.images), pixels["pixel_mean"], pixels["pixel_std"]
    )
    for _ in training.fit(model, few, few, dataclasses.replace(recipe, device="cpu")):
        pass
    weights = b"".join(tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values())
    images = read_arrays(TEST, "images")[0][:SCORED]
    probabilities = OnnxModel(ONNX).probabilities(images)
    reference = vars(drift_reference.build(images, probabilities))
    contents = (
        weights,
        f"{training.calibrate(model, few)}".encode(),
        probabilities.tobytes(),
        b"".join(reference[field].tobytes() for field in drift_reference.FIELDS),
    )
    return {name: hashlib.sha256(content).hexdigest()[:16] for name, content in zip(PARTS, contents, strict=True)}


if __name__ == "__main__":
    main()
