"""A repository with commits and tags of given dates, by Git alone: what GTO would write, and what it would not."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml

from tests.reporting.history import LABELS, archive, wrong

START = 1_800_000_000  # seconds; a moment in 2027
ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Tagged:
    """Commits are called by letters; each tag is a second later than the last one, unless told otherwise."""

    def __init__(self, path: Path) -> None:
        self.path, self.commits, self.seconds = path, {}, 0
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *arguments: str, **env: str) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        answer = subprocess.run(
            command, env=os.environ | ENVIRONMENT | env, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def commit(self, letter: str) -> str:
        if letter not in self.commits:
            self.git("add", "--all")
            self.git("commit", "--quiet", "--allow-empty", "--message", letter)
            self.commits[letter] = self.git("rev-parse", "HEAD")
        return self.commits[letter]

    def tag(self, name: str, letter: str, *, after: int = 1, message: str = "why", by: str = "Ann") -> None:
        self.seconds += after
        self.git(
            *("tag", "--force", "--annotate", "--message", message, name, self.commit(letter)),
            GIT_COMMITTER_DATE=f"{START + self.seconds} +0100",
            GIT_COMMITTER_NAME=by,
        )

    def bare(self, path: Path) -> Path:
        self.git("clone", "--quiet", "--bare", ".", str(path))
        return path

    def write(self, name: str, content: str | bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def trained(self, letter: str, mistakes: Iterable[int] = (), labels: np.ndarray = LABELS, **verdict: object) -> str:
        """Commit what a run of the pipeline leaves: a model of its own, its mistakes among 1,000 images, a verdict."""
        mistakes = list(mistakes)
        outs = []
        for name, content in (("model.onnx", letter.encode()), ("predictions.npz", archive(wrong(*mistakes), labels))):
            md5 = hashlib.md5(content).hexdigest()
            folder = "models" if name.endswith("onnx") else "results/evaluate"
            outs.append({"path": f"{folder}/{name}", "md5": md5})
            self.write(f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}", content)
        self.write(".gitignore", "/.dvc/cache\n")
        self.write("dvc.yaml", yaml.safe_dump({"artifacts": {"mnist": {"path": "models/model.onnx", "type": "model"}}}))
        self.write("dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": {"all": {"cmd": "x", "outs": outs}}}))
        metrics = {"accuracy": 1 - len(mistakes) / len(labels), "errors": len(mistakes)}
        self.write("results/evaluate/metrics.json", json.dumps(metrics))
        limit = {"metric": "accuracy", "passed": True}
        self.write("results/check/verdict.json", json.dumps({"passed": True, "limits": [limit]} | verdict))
        self.write("results/check/model_card.md", f"# Model card\n\nModel {letter}\n")
        return self.commit(letter)
