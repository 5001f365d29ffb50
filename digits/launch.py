"""Starting the processes that train together on one machine, as torchrun does. Several machines: docs/scale.md."""

import logging
import os
import signal
import sys
import tempfile
import uuid

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from digits.distributed import TeamError


def start(module: str, processes: int) -> None:
    """Run `python -m module` in so many processes on this machine, as torchrun would, and wait for all of them.

    Raises:
        TeamError: one of them was killed.
        SystemExit: one of them has failed, and said why.
    """
    if sys.platform == "linux":  # what they tell each other stays on this machine
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", module)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if failure.exitcode >= 0:
                sys.exit(failure.exitcode)
            raise TeamError(
                f"process {rank} of {processes} was killed by {signal.Signals(-failure.exitcode).name}; "
                f"if memory ran out, use fewer processes (train.processes)"
            ) from None
        except SignalException as stopped:
            sys.exit(128 + stopped.sigval)
