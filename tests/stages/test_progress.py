"""Progress bars with rate and time left, on a terminal alone."""

import contextlib
import hashlib
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOWNLOAD = "import sys; from pathlib import Path; from stages import fetch; fetch.download({!r}, Path('copy'), {!r})"
# Share, elapsed time < time left, rate.
BAR = r"\d+%\|.*\| [\d.]+k?/[\d.]+k? \[\d\d:\d\d<\d\d:\d\d, +[\d.]+(?:[kMG]?{unit}/s|s/{unit})"


def command(stage: str, folder: Path) -> list[str]:
    """A stage that works in `folder`: train, or fetch's download of one file, for the checksums of all are fixed."""
    if stage == "train":
        return [sys.executable, "-m", "stages.train"]
    content = bytes(600_000)
    (folder / "archive.gz").write_bytes(content)
    address, checksum = (folder / "archive.gz").as_uri(), hashlib.md5(content).hexdigest()
    return [sys.executable, "-c", DOWNLOAD.format(address, checksum)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def on_a_terminal(words: list[str], folder: Path) -> str:
    """What a command, which has to succeed, writes to a terminal as its stderr."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 120))
    process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=its)
    os.close(its)
    written = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
        while chunk := os.read(ours, 4096):
            written += chunk
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode()


@pytest.mark.parametrize(("stage", "unit"), [("fetch", "B"), ("train", "step")])
def test_a_terminal_shows_a_bar_with_rate_and_time_left(pipeline, stage, unit):
    assert re.search(BAR.format(unit=unit), on_a_terminal(command(stage, pipeline), pipeline))


@pytest.mark.parametrize("stage", ["fetch", "train"])
def test_a_log_has_no_bar(pipeline, stage):
    words = command(stage, pipeline)
    answer = subprocess.run(words, cwd=pipeline, env=environment(), capture_output=True, text=True, check=True)
    assert not re.search(r"\r|%\||it/s|B/s|step", answer.stderr)
