"""What a training computes with: another device, or other instructions of a processor, come to other last bits."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from digits.recipe import TrainParams, set_up_torch


def device(params: TrainParams) -> str:
    """Such as "cpu, AVX2" or "cuda, NVIDIA A100-SXM4-40GB", in a process that is set up to train."""
    import torch

    if params.device != "cpu" and torch.cuda.is_available():
        return f"cuda, {torch.cuda.get_device_name()}"
    return f"cpu, {torch.backends.cpu.get_cpu_capability()}"


def here(params: TrainParams) -> str:
    """The same of a training that this process would start; it need not be set up itself."""
    command = (sys.executable, "-m", "scaling.device", json.dumps(dataclasses.asdict(params)))
    folder = Path(__file__).parents[1]
    answer = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip() or "nothing that torch could say"


def main() -> None:
    """Print it for the params on the command line."""
    params = TrainParams(**json.loads(sys.argv[1]))
    set_up_torch(params)
    print(device(params))


if __name__ == "__main__":
    main()
