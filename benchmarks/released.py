"""A repository with two released versions that no answer can confuse: the second one calls each digit by the next."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import yaml

from benchmarks.running import ROOT
from delivery.artifact import SERVED
from delivery.git import git
from digits.onnx_model import OUTPUT
from digits.storage import read_arrays, write_arrays

VERSIONS = ("v0.0.1", "v0.0.2")
_WHO = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")


class Released:
    """A working tree as `git clone` leaves it: GTO's tags, and what dvc.lock names in its DVC remote.

    Both versions are made of what the pipeline has left in the current folder.

    Args:
        path: of the folder that is made.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.assignments = path, 0
        path.mkdir()
        git(path, "init", "--quiet", "--initial-branch=main")
        for name in (".dvc/config", "params.yaml"):
            self._write(name, (ROOT / name).read_bytes())
        stage = {"cmd": "true", "outs": [*SERVED[:-1], {SERVED[-1]: {"cache": False}}]}
        self._write("dvc.yaml", yaml.safe_dump({"stages": {"all": stage}}).encode())
        for turn, version in enumerate(VERSIONS):
            self._release(version, turn)

    def assign(self, version: str, stage: str) -> None:
        """Write the tag that `make promote` and `make rollback` write."""
        self.assignments += 1
        name = f"mnist#{stage}#{self.assignments}"
        git(self.path, *_WHO, "tag", "--annotate", "--message", version, name, f"mnist@{version}^{{}}")

    def _release(self, version: str, turn: int) -> None:
        made = self.path / "made"
        made.mkdir()
        _turned(made, turn)
        outs = []
        for name in SERVED:
            own = made / Path(name).name
            content = (own if own.exists() else Path(name)).read_bytes()
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            outs.append({"path": name, "hash": "md5", "md5": md5, "size": len(content)})
            self._write(name if name == SERVED[-1] else f".dvcstore/files/md5/{md5[:2]}/{md5[2:]}", content)
        for path in made.iterdir():
            path.unlink()
        made.rmdir()
        lock = {"schema": "2.0", "stages": {"all": {"cmd": "true", "outs": outs}}}
        self._write("dvc.lock", yaml.safe_dump(lock).encode())
        git(self.path, "add", "--all")
        git(self.path, *_WHO, "commit", "--quiet", "--message", version)
        git(self.path, *_WHO, "tag", "--annotate", "--message", version, f"mnist@{version}")

    def _write(self, name: str, content: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(content)


def _turned(folder: Path, turn: int) -> None:
    """The model and its smoke set, with the probability of each class as that of the class `turn` places further."""
    order = np.roll(np.arange(10), turn)
    model = onnx.load("models/model.onnx")
    for node in model.graph.node:
        node.output[:] = ["before" if name == OUTPUT else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(order, "order"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["before", "order"], [OUTPUT], axis=1))
    onnx.save(model, folder / "model.onnx")
    images, labels, probabilities = read_arrays(Path("models/smoke.npz"), "images", "labels", "probabilities")
    turned = {"labels": (labels + turn) % 10, "probabilities": probabilities[:, order]}
    write_arrays(folder / "smoke.npz", images=images, **turned)
