"""Small stand-ins for the real data and params: ten templates that a tiny network tells apart at once."""

import copy
import gzip
import struct
from pathlib import Path

import numpy as np
import yaml

from digits import production
from digits.dataset import Labelled

PARAMS = {
    "data": {"dataset": "MNIST"},
    "preprocess": {"validation_size": 100, "seed": 0, "production_repeat": 3},
    "model": {
        "channels": [4, 8],
        "kernels": [5, 3],
        "paddings": [0, 0],
        "pools": [3, 2],
        "activation": "relu",
        "deskew": False,
    },
    "train": {
        "seed": 0,
        "epochs": 1,
        "batch_size": 16,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "classifier_rate": 1.0,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "schedule": "linear",
        "warmup": 0.2,
        "label_smoothing": 0.1,
        "shift": 1,
        "whitening": True,
        "calibration": True,
        "validations": 2,
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
        "processes": 1,
        "instructions": "avx2",
    },
    "evaluate": {"seed": 0, "smoke_size": 20},
    "check": {"limits": {"parameters": {"below": 25000}, "accuracy": {"above": 0.9}, "epochs": {"at_most": 1}}},
}


def write_params(folder: Path, **changes: dict) -> None:
    """params.yaml with the keys of some sections changed: `write_params(folder, train={"seed": 1})`."""
    params = copy.deepcopy(PARAMS)
    for section, values in changes.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def digits(count: int, seed: int = 0) -> Labelled:
    """Noisy copies of ten block patterns; labels 0 to 9 in turn, so that every class is as frequent.

    One image in 23 looks like the class after its own, so that a good model is right about 96 % of the time.
    """
    blocks = np.random.default_rng(1234).random((10, 7, 7)) < 0.4
    templates = 180.0 * blocks.repeat(4, axis=1).repeat(4, axis=2)
    labels = (np.arange(count) % 10).astype(np.uint8)
    looks = (labels + (np.arange(count) % 23 == 5)) % 10
    noise = np.random.default_rng(seed).normal(0, 30, (count, 28, 28))
    return Labelled((templates[looks] + noise).clip(0, 255).astype(np.uint8), labels)


def idx(array: np.ndarray) -> bytes:
    """Uncompressed IDX file of unsigned bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def archive(array: np.ndarray) -> bytes:
    """What a data set's publisher offers for download."""
    return gzip.compress(idx(array), mtime=0)


def write_archives(folder: Path, train: Labelled, test: Labelled) -> None:
    """The four files of a data set in MNIST's format."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, data in (("train", train), ("t10k", test)):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(archive(data.images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(archive(data.labels))


def write_production(folder: Path, train: Labelled | None = None, dataset: str = "MNIST") -> None:
    """An export of labelled production data, empty by default."""
    none = digits(0)
    production.write(folder, production.Production(dataset, train or none, none), {})
