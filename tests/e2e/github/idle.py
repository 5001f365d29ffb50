"""A project in which every step of the workflows is there and does nothing: for what a workflow decides by itself."""

import sys
from pathlib import Path

from tests.e2e.project import ROOT, Project

WORDS = "## fine\n"  # of the report
FILES = {
    "Makefile": (
        ".PHONY: .venv/installed-dev .venv/installed-prometheus setup plots\n"
        ".venv/installed-dev .venv/installed-prometheus setup:\n"
        "\trm .venv/bin && mkdir .venv/bin && ln -s $(PYTHON) .venv/bin/python && cp dvc .venv/bin\n"
        "plots:\n\tmkdir dvc_plots && touch dvc_plots/a.png\n"
    ),
    "dvc": "#!/bin/sh\n",
    "dvc.lock": "as committed\n",
    "reporting/verify.py": "",
    "reporting/report.py": (
        "import shutil, sys\nshutil.copy('words.md', 'report.md')\nprint('asked for', *sys.argv[1:])\n"
    ),
    "reporting/summary.py": "print(open('results/check/verdict.json').read())\n",
    "words.md": WORDS,
    "requirements.lock": "",
    "models/model.onnx": "",
    "models/model.safetensors": "",
    "results/check/verdict.json": "as committed\n",
}


def idle(path: Path, env: dict[str, str], files: dict[str, str] | None = None) -> Project:
    """Make it, with some files others, on a branch with a commit that changes nothing."""
    project = Project(path, env | {"PYTHON": sys.executable})
    workflows = {file.relative_to(ROOT).as_posix(): file.read_text() for file in ROOT.glob(".github/workflows/*.yml")}
    for name, text in (FILES | workflows | (files or {})).items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    (project / "dvc").chmod(0o755)
    project.git("init", "--quiet", "--initial-branch", "main")
    project.commit()
    project.git("switch", "--quiet", "--create", "change")
    project.git("commit", "--quiet", "--allow-empty", "--message", "change")
    return project
