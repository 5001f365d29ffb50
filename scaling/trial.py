"""A worker of a sweep: it trains one trial after the other, and loads code and data once.

Ray sends this module to the workers by value. So nothing but Ray and the standard library is imported before
`prepare_node` has brought the code of the project, or has seen that it is there.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from scaling.nodes import NodeError, Spec, prepare_node

if TYPE_CHECKING:
    from torch import Tensor

    from digits.dataset import Labelled
    from digits.model import Directions
    from digits.recipe import TrainParams
    from scaling.settings import Base

METRIC = "validation_accuracy"
_ITS_OWN = {"DivergedError", "ParamsError"}  # errors of ours that a trial has wherever it runs
TIME = "percent"  # of its training that a trial has done: two are compared where their rates have fallen alike


class Training(tune.Trainable):
    """Trains what `config` says: {"trial": "00012", "settings": JSON}. The first step begins, and says where; each
    further one goes on to the next measurement.

    What a step returns has the fields of `scaling.records.Record`, and an `outcome`: None as long as there is more to
    come, then "finished" or "failed"; "refused" if the trial has to run somewhere else. After "broken", which is an
    error that nobody foresaw, the worker ends with the next step, for it may be the worker's own.
    """

    def setup(self, config: dict[str, Any], spec: Spec, base: "Base", pause: float) -> None:  # type: ignore[override]
        """Called once in a worker; `reset_config` for each further trial.

        Args:
            config: the first trial.
            spec: code and data.
            base: what the settings leave alone.
            pause: seconds before a worker that can't work hands its trial back, so that others take the next ones.
        """
        self._spec, self._base, self._pause = spec, base, pause
        self._data: tuple[Labelled, Labelled, dict[str, float]] | None = None
        self._find: Directions | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on a trial. What it needs is done in its first step, where an error becomes its result."""
        self._settings = json.loads(new_config["settings"])
        self._begun = False
        self._steps: Iterator[None] | None = None
        self._broken: Exception | None = None
        self._state: dict[str, Any] = {
            **{"outcome": None, "error": None, "parameters": None, "seconds": 0.0, "curve": [], "loss": None},
            **{METRIC: 0.0, TIME: 0, "node": node(), "device": None},
            "place": " GPU ".join([node(), *map(str, gpus())]),  # where an error of the device stays
        }
        return True

    def step(self) -> dict[str, Any]:
        """Train until the validation accuracy is known once more."""
        if not self._begun:  # said before anything is loaded, so that the driver knows where a worker has died
            self._begun = True
            return {**self._state, "curve": [], "done": False}
        try:
            self._data = self._data or self._prepare()
        except Exception as error:  # whatever it is, it is the node's: the trial has to run somewhere else
            text = str(error) if isinstance(error, NodeError) else f"node {node()}: {type(error).__name__}: {error}"
            time.sleep(self._pause)
            self._state |= {"outcome": "refused", "error": text}
            return {**self._state, "done": True}
        if self._broken:
            time.sleep(self._pause)
            raise self._broken
        try:
            started = time.perf_counter()
            try:
                self._steps = self._steps or self._train(*self._data)
                next(self._steps)
            finally:
                self._state["seconds"] = round(self._state["seconds"] + time.perf_counter() - started, 3)
        except Exception as error:  # whatever it is, the other trials go on
            if type(error).__module__.partition(".")[0] == "digits" and type(error).__name__ in _ITS_OWN:
                self._state |= {"outcome": "failed", "error": str(error), METRIC: 0.0}
            else:
                self._broken = error
                # Where it was is taken back, so that ASHA does not stop it before the worker has ended.
                self._state |= {"outcome": "broken", "error": f"{type(error).__name__}: {error}", METRIC: 0.0, TIME: 0}
        done = self._state["outcome"] not in (None, "broken")
        return {**self._state, "curve": list(self._state["curve"]), "done": done}

    def _setup_logdir(self) -> None:
        """No folder for each trial: nothing is written there, and on a full disk it could not be made."""
        self._logdir = "/"  # type: ignore[assignment]

    def cleanup(self) -> None:
        """Let go of the trial."""
        self._steps = None

    def _train(self, train: "Labelled", validation: "Labelled", pixels: dict[str, float]) -> Iterator[None]:
        """Train as stages/train.py does, in the same order, so that the same bits come out."""
        import torch

        from digits import training
        from digits.model import parameter_count, principal_directions
        from scaling.device import device
        from scaling.settings import sections

        model_params, params = sections(self._settings, self._base)
        self._state["device"] = device(params)
        self._find = self._find or remembering(principal_directions)
        images = torch.from_numpy(train.images)
        mean, std = pixels["pixel_mean"], pixels["pixel_std"]
        model = training.build(model_params, params, images, mean, std, find=self._find)
        self._state["parameters"] = parameter_count(model)
        for record in training.fit(model, train, validation, params):
            if record.validation_accuracy is None:
                continue
            curve = self._state["curve"]
            curve.append(round(record.validation_accuracy, 6))
            self._state |= {METRIC: curve[-1], TIME: percent(len(curve), params), "loss": round(record.loss, 6)}
            if record.step == record.steps:
                self._state["outcome"] = "finished"
            yield

    def _prepare(self) -> "tuple[Labelled, Labelled, dict[str, float]]":
        """Code and data, once in a worker, which is set up as stages/train.py sets itself up."""
        root = prepare_node(self._spec)
        from digits.dataset import labelled
        from digits.recipe import set_up_torch
        from digits.storage import read_arrays, read_json
        from scaling.settings import sections

        if not gpus():  # Ray leaves them in sight of workers to which it gave none; others compute on them
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        _, params = sections({}, self._base)
        set_up_torch(params)
        see_to_device(params.device)
        folder = root / "data/prepared"
        train, validation = (
            labelled(read_arrays(path, "images", "labels"), str(path))
            for path in (folder / "train.npz", folder / "validation.npz")
        )
        return train, validation, read_json(folder / "statistics.json")["train"]


def remembering(find: "Directions") -> "Directions":
    """The same, but what was found of the same pixels before is not computed again: it takes as long as many a step."""
    known: dict[tuple[int, bytes], tuple[Tensor, Tensor]] = {}

    def found(images: "Tensor", kernel: int) -> "tuple[Tensor, Tensor]":
        key = kernel, hashlib.sha256(images.numpy().tobytes()).digest()
        if key not in known:
            known[key] = find(images, kernel)
        return known[key]

    return found


def see_to_device(name: str) -> None:
    """See to it that a worker that was given a GPU can use it: on its processor it would come to other bits.

    Args:
        name: `train.device`.

    Raises:
        NodeError: it can't.
    """
    import torch

    if name != "cpu" and gpus() and not torch.cuda.is_available():
        raise NodeError(
            f"node {node()}: has a GPU for Ray, but torch {torch.__version__} finds none; see whether the driver works "
            f"(`nvidia-smi`) and torch is one for CUDA; or start Ray there with --num-gpus=0, or set train.device: cpu"
        )


def percent(measurements: int, params: "TrainParams") -> int:
    """How much of the training a trial has done that was measured so often."""
    return 100 * measurements // (params.validations * params.epochs)


def node() -> str:
    """The machine's name, and the first letters of what Ray calls it, for there can be several nodes on a machine."""
    return f"{socket.gethostname()}:{ray.get_runtime_context().get_node_id()[:8]}"


def gpus() -> list[Any]:
    """What Ray gave this worker."""
    return list(ray.get_gpu_ids())
