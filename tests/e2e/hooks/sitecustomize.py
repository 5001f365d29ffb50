"""Read by every Python that a test starts: holds or limits a stage in the middle of its work.

The stage HOLD_STAGE stops when a file is about to take the name HOLD_FILE, says so by making HOLD_REACHED, and goes on
once HOLD_GO_ON is there. With LIMIT_FILES, no stage can write a file of more bytes; DVC itself can.
"""

import gc
import os
import resource
import sys
import time
from pathlib import Path

# Hardly anything that a short process makes is garbage. To look for it again and again, while all of torch is loaded,
# takes a sixth of the time of an export.
gc.set_threshold(50_000)

_replace = os.replace


def _hold(source, target, **options):
    if Path(target).name == os.environ["HOLD_FILE"]:
        Path(os.environ["HOLD_REACHED"]).touch()
        while not Path(os.environ["HOLD_GO_ON"]).exists():
            time.sleep(0.05)
    _replace(source, target, **options)


if sys.orig_argv[1:] == ["-m", f"stages.{os.environ.get('HOLD_STAGE')}"]:
    os.replace = _hold

if "LIMIT_FILES" in os.environ and any(word.startswith("stages.") for word in sys.orig_argv):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["LIMIT_FILES"]),) * 2)
