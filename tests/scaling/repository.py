"""A repository as small as can be, from which a node can fetch."""

import hashlib
import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

DATA = {
    "data/prepared/train.npz": random.Random(0).randbytes(300_000),  # more than a full disk takes, in a test
    "data/prepared/validation.npz": b"validation images",
    "data/prepared/statistics.json": b"{}",
}
SUMS = {name: hashlib.md5(content).hexdigest() for name, content in DATA.items()}
PARAMS = {"data": {"dataset": "MNIST"}, "preprocess": {"seed": 0}, "train": {"seed": 0}}
REMOTE = "[core]\n    remote = embedded\n['remote \"embedded\"']\n    url = ../.dvcstore\n"


class Repository:
    """A project with hardly anything in it, whose nodes would find code, data and the DVC remote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            (self / name).parent.mkdir(parents=True, exist_ok=True)
            (self / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")

    def object(self, name: str) -> Path:
        return self.path / ".dvcstore/files/md5" / SUMS[name][:2] / SUMS[name][2:]

    def copy(self, path: Path) -> "Repository":
        shutil.copytree(self.path, path)
        return Repository(path)


def made(path: Path) -> Repository:
    """A repository with one commit, and the data in its working folder."""
    found = Repository(path)
    stages = {
        "fetch": {"cmd": "true", "params": {"params.yaml": {"data": PARAMS["data"]}}, "outs": []},
        "preprocess": {
            "cmd": "true",
            "params": {"params.yaml": {key: PARAMS[key] for key in ("data", "preprocess")}},
            "outs": [
                {"path": name, "hash": "md5", "md5": SUMS[name], "size": len(content)} for name, content in DATA.items()
            ],
        },
    }
    names = {"fetch": ["data"], "preprocess": ["data", "preprocess"]}
    described = {name: {"cmd": "true", "params": names[name]} for name in stages}
    described["preprocess"]["outs"] = list(DATA)
    found.write(
        {
            "params.yaml": yaml.safe_dump(PARAMS),
            "dvc.yaml": yaml.safe_dump({"stages": described}),
            "dvc.lock": yaml.safe_dump({"schema": "2.0", "stages": stages}),
            "digits/__init__.py": "",
            "digits/version.py": "HERE = 1\n",
            "stages/__init__.py": "",
            "scaling/__init__.py": "",
            "README.md": "nothing that a node needs",
            ".gitignore": "/data\n",
            ".dvcignore": ".dvcstore\n",
            ".dvc/config": REMOTE,
            ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
        }
    )
    found.write(DATA)
    for name, content in DATA.items():
        found.object(name).parent.mkdir(parents=True, exist_ok=True)
        found.object(name).write_bytes(content)
    found.git("init", "--quiet", "--initial-branch=main")
    found.commit()
    return found
