"""Small Git repositories with DVC experiments in them, and sweeps: nothing was trained for them."""

import hashlib
import json
import socket
import subprocess
from pathlib import Path

import yaml

from digits.storage import write_json
from scaling.nodes import digest
from scaling.records import SWEEPS
from tests import synthetic

CODE = "digits/code.py"


def git(*arguments: str) -> str:
    """What Git prints; by a person of its own."""
    person = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *person, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(message: str = "change") -> str:
    """Commit all of the working folder, and return the commit."""
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", message)
    return git("rev-parse", "HEAD")


def repository(folder: Path) -> None:
    """A repository with params and a pipeline's file, which is the working folder already."""
    synthetic.write_params(folder)
    (folder / "digits").mkdir()
    (folder / CODE).write_text("one = 1\n")
    (folder / ".gitignore").write_text("/sweeps/\n")
    git("init", "--quiet")
    commit()


def experiment(
    name: str,
    settings: dict[str, object] | None = None,
    *,
    validation: float = 0.96,
    test: float = 0.95,
    parameters: int = 500,
    curve: tuple[float, ...] = (0.9, 0.96),
    loss: float = 0.34,
) -> str:
    """Make a DVC experiment as `dvc exp run` leaves it, from the commit that is checked out. Returns its commit."""
    base = git("rev-parse", "HEAD")
    params = yaml.safe_load(Path("params.yaml").read_text())
    for key, value in (settings or {}).items():
        section, _, option = key.partition(".")
        params[section][option] = value
    Path("params.yaml").write_text(yaml.safe_dump(params))
    write_json(Path("results/train/metrics.json"), {"train": {"loss": loss}, "validation": {"accuracy": validation}})
    write_json(Path("results/evaluate/metrics.json"), {"accuracy": test, "parameters": parameters})
    rows = "".join(f"{step}\t{value}\n" for step, value in enumerate(curve))
    place = Path("results/train/plots/metrics/validation/accuracy.tsv")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"step\taccuracy\n{rows}")
    code = hashlib.md5(Path(CODE).read_bytes(), usedforsecurity=False).hexdigest()
    deps = [{"path": CODE, "md5": code}, {"path": "data/train.npz", "md5": "1"}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"deps": deps}}}))
    made = commit(name)
    git("update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", made)
    git("reset", "--quiet", "--hard", base)
    return made


def record(trial: str, settings: dict[str, object] | None = None, **changes: object) -> dict[str, object]:
    """One line of a sweep's trials.jsonl."""
    return {
        "trial": trial,
        "settings": settings or {},
        "state": "finished",
        "validation_accuracy": 0.96,
        "validations": 2,
        "curve": [0.9, 0.96],
        "loss": 0.34,
        "parameters": 500,
        "seconds": 1.0,
        "node": f"{socket.gethostname()}:65fea8ea",
        "device": "cpu, AVX2",
        "error": None,
    } | changes


def sweep(name: str, *trials: dict[str, object], **changes: object) -> None:
    """A sweep that has ended, in the working folder."""
    description = {
        "space": {},
        "trials": len(trials),
        "seed": 0,
        "keep": 3,
        "commit": git("rev-parse", "HEAD"),
        "code": digest(Path()),
        "data": {"data/train.npz": "1"},
        "params": {section: synthetic.PARAMS[section] for section in ("model", "train")},
        "versions": {},
    }
    write_json(SWEEPS / name / "sweep.json", description | changes)
    (SWEEPS / name / "trials.jsonl").write_text("".join(f"{json.dumps(trial)}\n" for trial in trials))
