"""Training in several processes: who takes which images, that all go the same way, and what happens if one fails.

Each process computes the gradients of its part of every batch, DistributedDataParallel averages them, and batch
normalisation takes the whole batch, so all take the step that one process would take, but for rounding.
"""

import contextlib
import dataclasses
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from digits.batch_normalisation import normalise_together
from digits.errors import PipelineError
from digits.model import DigitClassifier
from digits.recipe import TrainParams

# Seconds in which torchrun has long ended the other processes of a machine, if one has failed.
_PATIENCE = 20
_LENGTH = 64  # bytes of a value on which processes agree


class TeamError(PipelineError):
    """Processes that can't train together, or one of which is lost."""


@dataclasses.dataclass(frozen=True)
class Team:
    """The processes that train one network, as one of them sees it."""

    rank: int = 0
    size: int = 1

    def part(self, batch: int) -> int:
        """Images of a batch that each process takes.

        Raises:
            TeamError: the processes can't have equal parts, of two images or more.
        """
        if self.size > 1 and (batch % self.size or batch < 2 * self.size):
            raise TeamError(
                f"a batch of {batch} images has no equal parts of two or more for {self.size} processes; "
                f"let train.batch_size be a multiple of train.processes"
            )
        return batch // self.size

    def own(self, values: Tensor, batch: int) -> Tensor:
        """Of values (N,), one for each image in the order of the epoch, those of this process's part of each batch."""
        part = self.part(batch)
        return values.view(-1, batch)[:, self.rank * part : (self.rank + 1) * part].reshape(-1)

    def network(self, model: DigitClassifier) -> Callable[[Tensor], Tensor]:
        """`model.scores`, whose gradients are the mean over all processes; all start from process 0's weights."""
        if self.size == 1:
            return model.scores
        normalise_together(model)
        # Training does not read the running statistics, so to send them round in every step would serve nothing.
        return nn.parallel.DistributedDataParallel(
            _Scores(model), forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes, the same in each."""
        if self.size > 1:
            dist.all_reduce(value)
            value = value / self.size
        return value

    def agree(self, **values: str | bytes | np.ndarray) -> None:
        """See to it that every process has the same under each name: text of up to 64 bytes, bytes, or an array.

        Raises:
            TeamError: it has not; in every process.
        """
        if self.size == 1:
            return
        for name, value in values.items():
            text = value if isinstance(value, str) else _digest(value)
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            mine = torch.tensor([*text.encode()[:_LENGTH].ljust(_LENGTH)], dtype=torch.uint8, device=device)
            everybody = [torch.empty_like(mine) for _ in range(self.size)]
            dist.all_gather(everybody, mine)
            first, *others = [bytes(each.tolist()).decode().rstrip() for each in everybody]
            for rank, other in enumerate(others, start=1):
                if other != first:
                    raise TeamError(
                        f"process {rank} has other {name.replace('_', ' ')} than process 0: {other}, not {first}; "
                        f"check out the same commit on every machine, then `dvc pull` and install there"
                    )


ALONE = Team()


def _digest(value: bytes | np.ndarray) -> str:
    content = value if isinstance(value, bytes) else value.tobytes()
    return f"MD5 {hashlib.md5(content, usedforsecurity=False).hexdigest()}"


class _Scores(nn.Module):
    """What is trained of a network: its second half, as a module of its own."""

    def __init__(self, model: DigitClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.scores(pixels)


def started() -> bool:
    """Whether this is one of several processes, which torchrun (or what sets the same variables) has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextlib.contextmanager
def joined(params: TrainParams) -> Iterator[Team]:
    """Meet the other processes, by gloo or, on CUDA, by NCCL; a process that was started alone is a team of its own.

    If one of them fails, torchrun ends the others. So that they don't drown its error in what follows from it, they
    wait for that. What all of them fail of, process 0 says alone.

    Raises:
        TeamError: more processes on this machine than CUDA devices, or another process is lost.
    """
    if not started():
        yield ALONE
        return
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    team = Team(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    if team.rank == 0 and team.size != params.processes:
        print(
            f"note: train.processes is {params.processes}, and {team.size} train; with train.processes: {team.size}, "
            f"`dvc repro` computes the same, and dvc.lock says what made the weights",
            file=sys.stderr,
        )
    cuda = params.device != "cpu" and torch.cuda.is_available()
    try:
        if cuda:
            here, devices = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
            if here > devices:
                raise TeamError(f"train.processes: {here} on this machine, which has {devices} CUDA devices; use fewer")
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if cuda else "gloo")
        yield team
        dist.destroy_process_group()
    except (PipelineError, OSError):
        if team.rank:
            time.sleep(_PATIENCE)
        raise
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo/" not in str(error):
            raise
        time.sleep(_PATIENCE)
        raise TeamError(
            f"process {team.rank} of {team.size} has lost another one, whose own error, where it ran, says why; "
            f"mend that, then run the same command again"
        ) from None


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: torchrun's are in sessions of their own, so no kill reaches them."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
