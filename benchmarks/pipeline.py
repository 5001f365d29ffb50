"""What the machinery costs on top of the training: `dvc repro` against its unavoidable parts, in one run.

python -m benchmarks.pipeline [--rounds 3]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import publish, table

# What each stage can't do without, imported by a fresh interpreter. The last two of `export` are what torch.onnx.export
# itself imports when it is called: tracing, and the translation of each operator.
IMPORTS = {
    "fetch": "torchvision.datasets, tqdm, yaml",
    "preprocess": "numpy, yaml",
    "train": "torch, numpy, safetensors.torch, dvclive, tqdm, yaml",
    "export": "torch, numpy, safetensors.torch, torch.export, torch.onnx, onnxscript, onnx, onnxruntime, yaml, "
    "torch.export._trace, onnxscript.function_libs.torch_lib.ops",
    "evaluate": "numpy, onnxruntime, PIL.Image, PIL.ImageDraw, PIL.ImageFont, yaml",
    "check": "yaml",
}
# In the environment that is there, whichever is older: it or what says what belongs into it.
MAKE = ["make", f"VENV={sys.prefix}", "--old-file=pyproject.toml", "--old-file=requirements.lock", "repro"]
EMPTY = "stages:\n  nothing:\n    cmd: echo done > out\n    deps: [in]\n    outs: [out]\n"


def main() -> None:
    """Measure both projects in turns and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    environment = {**os.environ, "MNIST_MIRRORS": f"file://{Path('data/raw/MNIST').resolve()}"}
    with tempfile.TemporaryDirectory() as folder:
        ours, empty = clone(Path(folder) / "ours"), one_stage(Path(folder) / "empty")
        call(ours, environment, "dvc", "pull", "--quiet", "data/production")
        whole, parts, epochs = [], [], []
        noop: list[float] = []
        floor: list[float] = []
        makes: list[float] = []
        for _ in range(rounds):
            for path in (".dvc/cache", ".dvc/tmp", "data/raw", "data/prepared", "models"):
                shutil.rmtree(ours / path, ignore_errors=True)
            whole.append(seconds(lambda: call(ours, environment, "dvc", "repro", "--force", "--quiet")))
            epochs.append(json.loads((ours / "timings/train.json").read_text())["seconds"])
            imports = sum(seconds(lambda line=line: imported(ours, line)) for line in IMPORTS.values())  # type: ignore[misc]
            # In turns, so that what else the machine does hits all of them.
            idle = ((ours, ("dvc", "repro")), (empty, ("dvc", "repro")), (ours, MAKE))
            turns = [[seconds(lambda c=case: call(c[0], environment, *c[1])) for case in idle] for _ in range(5)]  # type: ignore[misc]
            for series, values in zip((noop, floor, makes), zip(*turns, strict=True), strict=True):
                series.append(statistics.median(values))
            parts.append(epochs[-1] + imports + noop[-1])
            print(f"whole {whole[-1]:.1f} s, parts {parts[-1]:.1f} s, epoch {epochs[-1]:.1f} s", flush=True)
    rows = [
        row(
            "`dvc repro` of everything from an empty cache",
            whole,
            "epoch + imports + `dvc repro` with nothing to do",
            parts,
        ),
        row("`dvc repro` with nothing to do", noop, "the same in an empty project of one stage", floor),
        row("`make repro` with nothing to do", makes, "`dvc repro` with nothing to do", noop),
    ]
    body = table(["what", "seconds", "against", "seconds", "ratio, median of rounds (range)"], rows)
    body += f"\n\n{rounds} rounds; the epoch alone took {shown(epochs)} s."
    publish("pipeline", f"python -m benchmarks.pipeline --rounds {rounds}", body, "dvc", "torch")


def clone(folder: Path) -> Path:
    """The committed project in a folder of its own."""
    subprocess.run(["git", "clone", "--quiet", ".", str(folder)], check=True)
    return folder


def one_stage(folder: Path) -> Path:
    """A project in which `dvc repro` has as little to do as can be."""
    folder.mkdir()
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(EMPTY)
    (folder / "in").write_text("something")
    subprocess.run(["dvc", "repro", "--quiet"], cwd=folder, check=True)
    return folder


def call(folder: Path, environment: dict[str, str], *command: str) -> None:
    """Run a command and keep its output to itself."""
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def imported(folder: Path, modules: str) -> None:
    """Import modules in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", f"import {modules}"], cwd=folder, check=True)


def seconds(function: Callable[[], None]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def row(name: str, values: list[float], other: str, against: list[float]) -> list[str]:
    """One line of the table."""
    ratios = [value / base for value, base in zip(values, against, strict=True)]
    return [name, shown(values), other, shown(against), shown(ratios)]


def shown(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
