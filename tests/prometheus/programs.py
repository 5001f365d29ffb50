"""The programs of Prometheus and Alertmanager, as the tests run them."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.prometheus.install import BIN, ELSEWHERE, PROGRAMS

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "monitoring/prometheus"


def program(name: str) -> str:
    """Where one of `install.PROGRAMS` is; a test that needs it fails without it."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(name, path=path) or shutil.which(PROGRAMS[name], path=path)
    assert found, f"no {name}: run `python -m tests.prometheus.install`, or {ELSEWHERE}"
    return found


def said(name: str, *arguments: str | Path, stdin: str = "") -> str:
    """All that a program prints; it has to be content."""
    command = [program(name), *map(str, arguments)]
    answer = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr}"
    return answer.stderr + answer.stdout
