"""Checkouts of a repository that is made for a test: fetched here or in a process of its own, looked at, damaged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scaling.checkout import checked_out
from tests.scaling.repository import SUMS

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from pathlib import Path
from scaling.checkout import CheckoutError, checked_out
cache, repository, commit, data = sys.argv[1:]
try:
    print(checked_out(Path(cache), repository, commit, json.loads(data)))
except CheckoutError as error:
    sys.exit(f"refused: {error}")
"""


def fetched(cache, repository, commit=None, data=SUMS) -> Path:
    return checked_out(cache, str(repository.path), commit or repository.git("rev-parse", "HEAD"), data)


def held(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_a_process(cache, repository, env=None, **options) -> subprocess.Popen:
    """The same in a process of its own."""
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        cache,
        repository.path,
        repository.git("rev-parse", "HEAD"),
        json.dumps(SUMS),
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | (env or {})
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def nothing_left(cache) -> bool:
    return not (cache / "unfinished").exists() and not any((cache / "checkouts").glob("*"))


def flipped(path: Path) -> None:
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def stand_in(folder: Path, program: str, script: str) -> dict[str, str]:
    """Environment in which a script stands before a program; it finds the program's path in $REAL."""
    (folder / "bin").mkdir()
    (folder / "bin" / program).write_text(f"#!/bin/sh\nREAL={shutil.which(program)}\n{script}\n")
    (folder / "bin" / program).chmod(0o755)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
