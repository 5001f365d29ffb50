"""Train: fit the network, with DVCLive writing the loss, the learning rate and the validation accuracy on the way.

Run by `dvc repro`, or alone: python -m stages.train, or as one of several processes: torchrun ... -m stages.train
"""

import contextlib
import hashlib
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from digits.architecture import ModelParams
from digits.dataset import labelled
from digits.errors import PipelineError, run
from digits.params import load
from digits.recipe import TrainParams, set_up_torch
from digits.storage import read_arrays, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvclive.live import Live

    from digits.training import Record

TRAIN = Path("data/prepared/train.npz")
VALIDATION = Path("data/prepared/validation.npz")
STATISTICS = Path("data/prepared/statistics.json")
WEIGHTS = Path("models/model.safetensors")
LIVE = Path("results/train")
TIMES = Path("timings/train.json")


def main() -> None:
    """Run the stage."""
    model_params, params = load(ModelParams, "model"), load(TrainParams, "train")
    set_up_torch(params)
    import torch

    from digits import distributed, training, weights
    from digits.model import parameter_count

    if params.processes > 1 and not distributed.started():
        from digits.launch import start

        start("stages.train", params.processes)
        return
    with distributed.joined(params) as team:
        train = labelled(read_arrays(TRAIN, "images", "labels"), str(TRAIN))
        validation = labelled(read_arrays(VALIDATION, "images", "labels"), str(VALIDATION))
        statistics = read_json(STATISTICS)
        pixels = statistics["train"]
        model = training.build(
            model_params, params, torch.from_numpy(train.images), pixels["pixel_mean"], pixels["pixel_std"]
        )
        records = training.fit(model, train, validation, params, team)
        if team.rank:
            for _ in records:
                pass  # process 0 says and writes it
            return
        try:
            with open_live() as live:
                seconds = follow(records, live)
                if params.calibration:
                    live.summary["temperature"] = training.calibrate(model, validation)
                live.summary["epochs"] = params.epochs
        except OSError as error:  # a write that fails does not tell to which file
            error.filename = error.filename or str(LIVE)
            raise
        facts = {"dataset": statistics["dataset"], "epochs": params.epochs, "parameters": parameter_count(model)}
        content = weights.serialize(model, facts)
        write_bytes(WEIGHTS, content)
        times = {"seconds": round(seconds, 3), "seconds_per_epoch": round(seconds / params.epochs, 3)}
        # The sum says of which weights this is the time: nothing restores this file with them.
        write_json(TIMES, times | {"weights_md5": hashlib.md5(content, usedforsecurity=False).hexdigest()})


def follow(records: "Iterator[Record]", live: "Live") -> float:
    """Log and show how training goes; returns the seconds that it took."""
    from tqdm import tqdm

    started = time.perf_counter()
    with tqdm(unit="step", disable=None) as bar:
        for record in records:
            live.step = record.step
            live.log_metric("train/loss", round(record.loss, 6))
            # Not under train/: `dvc exp show` would confuse it with the param of that name.
            live.log_metric("schedule/learning_rate", round(record.learning_rate, 8))
            if record.validation_accuracy is not None:
                live.log_metric("validation/accuracy", round(record.validation_accuracy, 6))
            bar.total = record.steps
            bar.set_postfix_str(f"loss {record.loss:.3f}", refresh=False)
            bar.update(record.step - bar.n)
    return time.perf_counter() - started


def open_live() -> "Live":
    """DVCLive in `results/train`; it leaves dvc.yaml and experiments alone.

    Raises:
        PipelineError: the disk is full, which DVC's databases notice first.
    """
    with without("pandas"):
        from dvclive.live import Live

    try:
        return Live(str(LIVE), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False)
    except sqlite3.OperationalError as error:
        raise PipelineError(
            f".dvc: a database of DVC can't be written ({error})\n"
            f"  free some space, then run the same command again: finished outputs are kept"
        ) from None


@contextlib.contextmanager
def without(package: str) -> "Iterator[None]":
    """Hide a package that DVCLive imports where it is installed, and never uses here: pandas takes half a second."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


if __name__ == "__main__":
    run(main)
