"""The stage in two processes, the second of which ends within the second epoch: python -m tests.stages.faulty HOW."""

import errno
import os
import signal
import sys

import torch
from torch import Tensor

from digits import training
from digits.distributed import started
from digits.errors import run
from digits.launch import start
from stages import train

HOW = "FAULT"  # names the variable that says how: by `error` or by `kill`


def ending_later(count: int, pixels: int, generator: torch.Generator) -> Tensor:
    """`draw_shifts`, which is called at the beginning of an epoch, with a fault."""
    ending_later.calls += 1
    if ending_later.calls == 2 and os.environ["RANK"] == "1":
        if os.environ[HOW] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")
    return draw_shifts(count, pixels, generator)


ending_later.calls = 0
draw_shifts = training.draw_shifts

if __name__ == "__main__":
    if started():
        training.draw_shifts = ending_later
        run(train.main)
    else:
        os.environ[HOW] = sys.argv[1]
        run(lambda: start("tests.stages.faulty", 2))
