"""What Git and DVC are asked for, so that an empty folder gets the code of a commit and the data that it names."""

import configparser
import dataclasses
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

# What a worker imports, and what DVC needs to know of the project in order to find the data.
CODE = ("digits", "stages", "scaling", "params.yaml", "dvc.yaml", "dvc.lock", ".dvc/config", ".dvcignore")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # errors of a disk without room
_SAYS_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|database or disk is full|disk I/O error|"
    r"Out of diskspace"  # Git's, which does not look at the system's error there
)
SECONDS = 400.0  # after which Git and DVC are given up, and likewise a lock; both are waited for in a preflight
_OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


class CheckoutError(Exception):
    """Code or data are not to be had. Its text says what, where and what to do next."""


@dataclasses.dataclass(frozen=True)
class Fetching:
    """An empty folder that is about to become a checkout, the cache that it lies in, and the cache's open lock."""

    folder: Path
    cache: Path
    lock: int
    until: float = dataclasses.field(default_factory=lambda: time.monotonic() + SECONDS)

    def object(self, md5: str) -> Path:
        """Where DVC keeps the content with this sum."""
        return self.cache / "objects/files/md5" / md5[:2] / md5[2:]

    def code(self, repository: str, commit: str, sums: Iterable[str]) -> None:
        """Check out what of a commit a worker needs, without history. Git holds it against the commit's hash.

        Args:
            repository: what `git fetch` takes.
            commit: all its digits.
            sums: MD5 sums of the data. Where the DVC remote lies in the repository itself, as .dvcstore does, these of
                its objects come along.

        Raises:
            CheckoutError: Git can't fetch it, or there is no room.
        """
        paths = [f"/{name}" for name in CODE] + [f"/.dvcstore/files/md5/{md5[:2]}/{md5[2:]}" for md5 in sums]
        problem = f"commit {commit} can't be fetched from {repository}"
        advice = "push it there (`git push`), and see to it that this node can reach and read that repository"
        for command in (
            ("init", "--quiet"),
            ("config", "remote.origin.url", repository),
            ("sparse-checkout", "set", "--no-cone", *paths),
            ("fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", commit),
            ("checkout", "--quiet", "--detach", commit),
        ):
            settings = ("-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false")
            self._run(("git", *settings, *command), problem, advice)
        shutil.rmtree(self.folder / ".git")

    def data(self, names: Iterable[str]) -> None:
        """Pull these files, and no other, from the DVC remote of the committed .dvc/config.

        Raises:
            CheckoutError: DVC can't bring one of them, or there is no room.
        """
        config, local = configparser.ConfigParser(), self.folder / ".dvc/config.local"
        config["core"] = {"no_scm": "true", "site_cache_dir": str(self.cache / "site")}
        config["cache"] = {"dir": str(self.cache / "objects"), "type": "hardlink,copy"}
        with local.open("w") as stream:
            config.write(stream)
        self._run(
            (sys.executable, "-m", "dvc", "pull", *names),
            f"{', '.join(names)} can't be pulled from the DVC remote",
            "`dvc push` it from where it was made, and commit .dvcstore if that is the remote. Nodes know the remote "
            "of the committed .dvc/config, not of .dvc/config.local, and take credentials from their own environment",
        )
        local.unlink()
        for left in (".dvcstore", ".dvc/tmp"):
            shutil.rmtree(self.folder / left, ignore_errors=True)

    def _run(self, command: tuple[str, ...], problem: str, advice: str) -> None:
        """Run Git or DVC; what went wrong is told in its own words."""
        env = {key: value for key, value in os.environ.items() if key not in _OF_ANOTHER_REPOSITORY}
        env["GIT_TERMINAL_PROMPT"] = "0"  # nobody is there to type a password
        env["GIT_ALLOW_PROTOCOL"] = "file:git:http:https:ssh"  # ext:: and the like run what the address says
        try:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock,),
                restore_signals=False,  # so a file beyond the limit is an error, not a signal that kills
                start_new_session=True,
            )
        except FileNotFoundError:
            raise CheckoutError(f"{command[0]}: not found on this node; install it") from None
        with process:
            try:
                output, _ = process.communicate(timeout=max(1.0, self.until - time.monotonic()))
            except BaseException as error:  # also Ctrl-C
                # With what it has started, which has the lock as well.
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise CheckoutError(f"{problem}: not within {SECONDS:g} seconds; {advice}") from None
                raise
        if not process.returncode:
            return
        text = without_address(output.decode(errors="replace"))
        said = " ".join(text.split()) or f"exit code {process.returncode}"
        if full := _SAYS_FULL.search(said):
            raise no_room(self._file(said), full[0], self.cache)
        if "No module named dvc" in said:
            raise CheckoutError(f"DVC is not installed for {sys.executable}; install the commit's requirements.lock")
        raise CheckoutError(f"{problem}: {said[-600:]}; {advice}")

    def _file(self, said: str) -> str:
        """The file that Git's or DVC's error names, or else the folder."""
        found = re.search(r"'(/[^']+)'|unable to (?:write|create) (?:file )?'?([^\s':]+)", said)
        return str(self.folder / (found[1] or found[2])) if found else str(self.folder)


def without_address(said: str) -> str:
    """What DVC says, without where it would have people ask for help."""
    return said.partition("Having any troubles?")[0]


def no_room(file: str, why: str, cache: Path) -> CheckoutError:
    """The error of a full disk: which file did not fit, what the system says, how much room there is."""
    free = shutil.disk_usage(cache).free / 1e6
    return CheckoutError(
        f"{file}: {why}; make room on this node ({free:.0f} MB are free there, 50 are enough), or set MNIST_NODE_CACHE "
        f"to a folder on a larger disk where Ray is started, then go on with the sweep"
    )
