"""One of several processes that train: python -m tests.digits.team FOLDER TASK, started by torchrun.

Task `train`: what it has seen and become is written to FOLDER/RANK.npz. Task `other-images`: they differ in these.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

from digits.architecture import ModelParams
from digits.distributed import ALONE, Team, joined
from digits.errors import run
from digits.model import DigitClassifier
from digits.params import parse
from digits.recipe import TrainParams
from digits.training import build, fit
from tests import synthetic

TRAIN, VALIDATION = synthetic.digits(640, seed=1), synthetic.digits(100, seed=2)
PARAMS = parse(TrainParams, synthetic.PARAMS["train"] | {"epochs": 2, "batch_size": 32}, "train")


def new(seed: int, mean: float = 60.0, **changes: object) -> DigitClassifier:
    """A network that was not trained yet; `changes` to its architecture, `mean` of the pixels."""
    params = parse(ModelParams, synthetic.PARAMS["model"] | changes, "model")
    return build(params, dataclasses.replace(PARAMS, seed=seed), torch.from_numpy(TRAIN.images), mean, 80.0)


def trained(team: Team = ALONE, seed: int = 0) -> dict[str, np.ndarray]:
    """What a process has seen, said and become.

    Args:
        team: the process.
        seed: of the first weights.
    """
    model = new(seed)
    seen = []
    model.blocks.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    records = list(fit(model, TRAIN, VALIDATION, PARAMS, team))
    return {
        "seen": torch.stack(seen).numpy(),
        "losses": np.array([record.loss for record in records]),
        "accuracies": np.array([record.validation_accuracy for record in records], float),
        "statistics": torch.cat(
            [buffer.flatten() for name, buffer in model.named_buffers() if "running" in name]
        ).numpy(),
        "weights": torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy(),
    }


def main() -> None:
    folder, task = sys.argv[1:]
    torch.set_num_threads(1)
    with joined(PARAMS) as team:
        if task == "train":
            np.savez(Path(folder) / f"{team.rank}.npz", **trained(team, seed=team.rank))
        else:
            team.agree(torch=torch.__version__, images=TRAIN.images if team.rank == 0 else TRAIN.images[::-1].copy())


if __name__ == "__main__":
    run(main)
