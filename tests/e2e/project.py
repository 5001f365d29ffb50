"""A project in a folder of its own, driven by the tools a person would type."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

# dvc.lock is read many times in a test. In Python alone that takes a tenth of a second.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
HOOKS = Path(__file__).parent / "hooks"
# Whoever is not the superuser may be one in a namespace of his own, unless the system forbids it.
NAMESPACE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
STAGES = ("fetch", "preprocess", "train", "export", "evaluate", "check")

# Quicker to train than the default, and still within the limits.
FAST = {
    "model.channels": [4, 8],
    "model.kernels": [5, 5],
    "model.paddings": [0, 0],
    "model.pools": [2, 2],
    "train.batch_size": 256,
    "train.learning_rate": 0.2,
    "train.shift": 0,
    "train.threads": 1,  # two that wait for each other suffer from what else runs beside them
    "train.validations": 1,
}

# A test's repository does not outlive it, and most of what it holds is compressed already: objects are stored and sent
# as they are, without looking for what one has in common with another, and nobody waits for the disk or tidies up.
GITCONFIG = """\
[core]
	fsync = none
	compression = 0
	bigFileThreshold = 100k
[gc]
	auto = 0
[maintenance]
	auto = false
"""


def environment(home: Path) -> dict[str, str]:
    """Variables under which nothing of the person who runs the tests is read, and no network is reached."""
    (home / "gitconfig").write_text(GITCONFIG)
    nowhere = "http://127.0.0.1:9"
    kept = {key: value for key, value in os.environ.items() if key in ("LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONPATH": str(HOOKS),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        "GOMP_SPINCOUNT": "0",  # for the same reason, where the default's two threads train
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "no_proxy": "127.0.0.1",
    }


@contextlib.contextmanager
def warmed(env: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same, so that stages which need torch don't import it anew each time: see hooks/warm.py."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:  # sockets want their paths short
        address = f"{folder}/socket"
        command = [sys.executable, str(HOOKS / "warm.py"), address]
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            yield env | {"WARM": address}
            process.terminate()


def cold(env: dict[str, str]) -> dict[str, str]:
    """The same, so that each stage is a process from its beginning."""
    return {key: value for key, value in env.items() if key != "WARM"}


class Project:
    """A folder with the project in it, a Git repository."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        self.path, self.env = path, env

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def run(self, *command: str, fails: bool = False, env: dict[str, str] | None = None, **options: Any) -> str:
        """Output (both streams) of a command that has to succeed or, with `fails`, not to."""
        answer = subprocess.run(
            command,
            cwd=self.path,
            env=self.env | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **options,
        )
        assert (answer.returncode != 0) == fails, f"{' '.join(command)}: exit {answer.returncode}\n{answer.stdout}"
        return answer.stdout

    def sh(self, *lines: str) -> str:
        """Output of lines that a person was told to type."""
        return self.run("sh", "-ec", "\n".join(lines))

    def git(self, *args: str) -> str:
        return self.run("git", *args)

    def dvc(self, *args: str, **options: Any) -> str:
        return self.run("dvc", *args, **options)

    def repro(self, *args: str, **options: Any) -> tuple[str, ...]:
        """Stages that `dvc repro` ran, in their order."""
        return stages_run(self.dvc("repro", *args, **options))

    def held(self, stage: str, file: str, folder: Path, env: dict[str, str] | None = None) -> "Held":
        """Start `dvc repro`, and stop `stage` just before `file` takes its final name."""
        return Held(self, stage, file, folder, env or {})

    def started(self, folder: Path, env: dict[str, str] | None = None) -> "Running":
        """Start `dvc repro`, and do not wait for it."""
        return Running(self, folder, env or {})

    def commit(self, message: str = "change") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def copy(self, path: Path) -> "Project":
        """The same in another folder: files, cache, history."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path, self.env)

    def clone(self, path: Path) -> "Project":
        """What a colleague gets: only what is committed."""
        self.run("git", "clone", "--quiet", str(self.path), str(path))
        return Project(path, self.env)

    @property
    def lock(self) -> dict[str, Any]:
        return self.lock_of(None)

    def lock_of(self, commit: str | None) -> dict[str, Any]:
        """What dvc.lock says of the stages in a commit, or here."""
        text = self.git("show", f"{commit}:dvc.lock") if commit else (self / "dvc.lock").read_text()
        return yaml.load(text, _LOADER)["stages"]

    @property
    def params(self) -> dict[str, Any]:
        return yaml.load((self / "params.yaml").read_text(), _LOADER)

    def set(self, **values: Any) -> None:
        """Change params; `__` stands for the dot of a key, and None takes the key away."""
        self.change({key.replace("__", "."): value for key, value in values.items()})

    def change(self, values: dict[str, Any]) -> None:
        params = self.params
        for key, value in values.items():
            *folders, name = key.split(".")
            section = params
            for folder in folders:
                section = section.setdefault(folder, {})
            section[name] = value
            if value is None:
                del section[name]
        (self / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def comment(self, file: str) -> None:
        """Add a comment to a source file."""
        with (self / file).open("a") as stream:
            stream.write("# a comment\n")

    def outputs(self, *stages: str) -> dict[str, bytes | None]:
        """Content of every file among the outputs that dvc.lock names; None where an output is missing."""
        content: dict[str, bytes | None] = {}
        lock = self.lock
        for stage in stages or lock:
            for out in lock[stage]["outs"]:
                path = self / out["path"]
                if path.is_dir():
                    files = [file for file in path.rglob("*") if file.is_file()]
                    content |= {str(file.relative_to(self.path)): file.read_bytes() for file in files}
                else:
                    content[out["path"]] = path.read_bytes() if path.exists() else None
        return content

    def object(self, output: str, store: str = ".dvc/cache", commit: str | None = None) -> Path:
        """Where DVC keeps the content of an output, as a commit has it, or as it is here."""
        found = {out["path"]: out["md5"] for stage in self.lock_of(commit).values() for out in stage["outs"]}
        return self / store / "files/md5" / found[output][:2] / found[output][2:]

    def experiment(self, name: str) -> str:
        """Commit of a DVC experiment."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/exps/**/{name}").strip()


class Running:
    """A `dvc repro` that goes on while the test does."""

    def __init__(self, project: Project, folder: Path, env: dict[str, str]) -> None:
        self.log = folder / "repro.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["dvc", "repro"],
                cwd=project.path,
                env=cold(project.env) | env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; if it never does, end all and show what was printed."""
        try:
            wait_for(lambda: condition() or self.process.poll() is not None)
            assert condition(), self.log.read_text()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End DVC and the stage at once, as the kernel does when memory runs out."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Held(Running):
    """A `dvc repro` that waits in the middle of a stage."""

    def __init__(self, project: Project, stage: str, file: str, folder: Path, env: dict[str, str]) -> None:
        self.reached, self.go_on = folder / "reached", folder / "go-on"
        hold = {
            "HOLD_STAGE": stage,
            "HOLD_FILE": file,
            "HOLD_REACHED": str(self.reached),
            "HOLD_GO_ON": str(self.go_on),
        }
        super().__init__(project, folder, env | hold)
        self.wait_for(self.reached.exists)

    def finish(self) -> str:
        """Let the stage go on, and return what was printed."""
        self.go_on.touch()
        code = self.process.wait()
        assert code == 0, self.log.read_text()
        return self.log.read_text()


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Return once `condition` holds; the limit only keeps a broken test from waiting for ever."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def stages_run(output: str) -> tuple[str, ...]:
    return tuple(re.findall(r"^Running stage '([\w-]+)'", output, re.MULTILINE))
