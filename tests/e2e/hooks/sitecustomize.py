"""Read by every Python that a test starts: holds or limits a stage in the middle of its work.

The stage HOLD_STAGE stops when a file is about to take the name HOLD_FILE, says so by making HOLD_REACHED, and goes on
once HOLD_GO_ON is there. With LIMIT_FILES, no stage can write a file of more bytes; DVC itself can. The same holds for
workers of Ray, and what they start. With LIMIT_DVC it is the other way round.

With WARM, stages that need torch are copies of a process that has imported it: see warm.py.

With ONLY_FROM, workers of Ray find nothing of the project outside of that folder, as if it were not installed. With
IMPORT_FROM, they have imported the project from there before they are asked for anything. With HOLD_MEASURED, which
needs ONLY_FROM, their trainings make that file after the first measurement, and go on once HOLD_GO_ON is there. With
BREAK_TRAINING, which needs it, too, they end with an error that names the process. With NAMESPACE_OF they see the files
that the process with that number sees.

With PAUSE, a sweep has nodes that can't work hand trials back after so many seconds.
"""

import gc
import importlib
import os
import resource
import sys
import time
from importlib.machinery import PathFinder
from pathlib import Path

_worker = any(word.endswith("/default_worker.py") for word in sys.orig_argv)

if _worker and (_process := os.environ.pop("NAMESPACE_OF", "")):
    _own = ("--user",) if os.geteuid() else ()  # as tests.e2e.project.NAMESPACE makes it
    _enter = ("nsenter", "--mount", *_own, "--preserve-credentials", f"--target={_process}")
    os.execvp(_enter[0], [*_enter, sys.executable, *sys.orig_argv[1:]])

# Hardly anything that a short process makes is garbage. To look for it again and again, while all of torch is loaded,
# takes a sixth of the time of an export.
gc.set_threshold(50_000)

_warm = "WARM" in os.environ and not {"HOLD_STAGE", "LIMIT_FILES"} & os.environ.keys()

if _warm and sys.orig_argv[1:] in (["-m", "stages.train"], ["-m", "stages.export"]):
    importlib.import_module("warm").hand_over()

_replace = os.replace


def _hold(source, target, **options):
    if Path(target).name == os.environ["HOLD_FILE"]:
        Path(os.environ["HOLD_REACHED"]).touch()
        while not Path(os.environ["HOLD_GO_ON"]).exists():
            time.sleep(0.05)
    _replace(source, target, **options)


if sys.orig_argv[1:] == ["-m", f"stages.{os.environ.get('HOLD_STAGE')}"]:
    os.replace = _hold

if "LIMIT_FILES" in os.environ and (_worker or any(word.startswith("stages.") for word in sys.orig_argv)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["LIMIT_FILES"]),) * 2)

if "LIMIT_DVC" in os.environ:
    _hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    _dvc = Path(sys.orig_argv[1]).name == "dvc"
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["LIMIT_DVC"]) if _dvc else _hard, _hard))


class _Only(PathFinder):
    """Finds the project in one folder."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.partition(".")[0] not in ("delivery", "digits", "monitoring", "reporting", "scaling", "stages"):
            return None
        found = super().find_spec(fullname, path, target)
        if found is None or not str(found.origin).startswith(f"{os.environ['ONLY_FROM']}/"):
            raise ModuleNotFoundError(f"no module named {fullname!r} on this node", name=fullname)
        if fullname == "digits.training" and {"HOLD_MEASURED", "BREAK_TRAINING"} & os.environ.keys():
            _change(found, lambda m: setattr(m, "fit", _held(m.fit) if "HOLD_MEASURED" in os.environ else _broken))
        return found


class _Pause(PathFinder):
    """Finds one module, in which it changes one number."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname != "scaling.tuning":
            return None
        found = super().find_spec(fullname, path, target)
        _change(found, lambda module: setattr(module, "_PAUSE", float(os.environ["PAUSE"])))
        return found


def _change(found, change):
    """Have a module changed as soon as it has been executed."""
    execute = found.loader.exec_module

    def both(module):
        execute(module)
        change(module)

    found.loader.exec_module = both


def _held(fit):
    def held(*arguments):
        for record in fit(*arguments):
            yield record
            # It is asked for more, so what was measured has arrived.
            if record.validation_accuracy is not None:
                Path(os.environ["HOLD_MEASURED"]).touch()
                while not Path(os.environ["HOLD_GO_ON"]).exists():
                    time.sleep(0.05)

    return held


def _broken(*_):
    raise RuntimeError(f"device lost in process {os.getpid()}")


if _worker and "ONLY_FROM" in os.environ:
    sys.meta_path.insert(0, _Only)

if "PAUSE" in os.environ:
    sys.meta_path.insert(0, _Pause)

if _worker and "IMPORT_FROM" in os.environ:
    sys.path.insert(0, os.environ["IMPORT_FROM"])
    importlib.import_module("digits.errors")
