"""How the network is trained, as section `train` of params.yaml states it. Imports torch only to set it up."""

import dataclasses
import math
import os
from typing import Annotated, Literal

from digits.params import Range

# Read by ATen, oneDNN and MKL when they first compute. Under these settings the emulated Intel and AMD processors that
# benchmarks/instructions.py tries give the same bits as a machine with AVX-512. MKL's "COMPATIBLE" is the one mode that
# does not look at the maker of the processor.
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}


@dataclasses.dataclass(frozen=True)
class TrainParams:
    """Section `train`."""

    seed: Annotated[int, Range(at_least=0, below=2**63)]
    epochs: Annotated[int, Range(at_least=1, at_most=1000)]
    batch_size: Annotated[int, Range(at_least=2, at_most=30_000)]
    optimizer: Literal["sgd", "adamw"]
    learning_rate: Annotated[float, Range(above=0, at_most=10)]  # its peak
    classifier_rate: Annotated[float, Range(above=0, at_most=10)]  # times learning_rate, for the last layer
    momentum: Annotated[float, Range(at_least=0, below=1)]
    weight_decay: Annotated[float, Range(at_least=0, at_most=1)]
    schedule: Literal["linear", "cosine", "constant"]
    warmup: Annotated[float, Range(at_least=0, below=1)]  # share of all steps
    label_smoothing: Annotated[float, Range(at_least=0, below=1)]
    shift: Annotated[int, Range(at_least=0, at_most=8)]  # pixels, in both directions
    whitening: bool  # start the first convolution from the principal directions of training patches
    calibration: bool  # fit the temperature on the validation images after training
    validations: Annotated[int, Range(at_least=1, at_most=100)]  # an epoch, evenly spaced; the last is on all images
    precision: Literal["float32", "bfloat16"]
    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Range(at_least=1, at_most=256)]  # of each process
    processes: Annotated[int, Range(at_least=1, at_most=1024)]  # each takes an equal part of every batch
    instructions: Literal["avx2", "native"]


def pin_cpu(params: TrainParams) -> None:
    """Fix what the CPU libraries would otherwise choose by the machine. Call it before torch computes anything."""
    # Threads wait for each other by spinning, by default for some milliseconds: beside any other process that makes
    # training many times slower. Not to spin at all costs half as much again on a quiet machine. This is in between.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # CUDA's matrix products are only reproducible with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if params.instructions == "avx2":
        os.environ.update(_AVX2)


def set_up_torch(params: TrainParams) -> None:
    """Make torch compute the same on each machine, and refuse what it can't repeat. Call it before torch is imported.

    What torch computes at first settles which instructions it uses.
    """
    pin_cpu(params)
    import torch  # noqa: PLC0415 - not before

    torch.set_num_threads(params.threads)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms, which imports the compiler: two seconds
    # Nothing here reads memory before it is written; to fill all of it costs a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def schedule(params: TrainParams, progress: float) -> float:
    """Learning rate as a share of its peak.

    Args:
        params: warm-up share and kind of schedule.
        progress: share of the steps done before this one, 0 to 1. With a warm-up the first step changes no weights: it
            fills the running statistics of normalisation.
    """
    if progress < params.warmup:
        return progress / params.warmup
    rest = (1 - progress) / (1 - params.warmup)
    return {"linear": rest, "cosine": (1 - math.cos(math.pi * rest)) / 2, "constant": 1.0}[params.schedule]
