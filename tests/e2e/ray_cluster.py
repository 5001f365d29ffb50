"""A Ray cluster of several nodes on one machine, each with an environment and a cache folder of its own."""

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from ray.cluster_utils import Cluster

from tests.e2e.project import HOOKS, NAMESPACE

# Loopback, so that nobody else reaches it. For 127.0.0.1 Ray would put the machine's other address.
_IP = "127.0.0.2"
# There until its input ends.
_SMALL_DISK = """
mount --make-rprivate /
mount -t tmpfs -o size=5m,mode=700 none "$1"
echo mounted
exec cat
"""
_HERE = {"node_ip_address": _IP, "object_store_memory": 80_000_000, "include_dashboard": False}


class Nodes:
    """Nodes by name. The head runs no trial; of the others each has one processor."""

    reach: ClassVar = {"no_grpc_proxy": _IP}

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self._env = folder, env
        # Ray's sockets lie in there, and the system wants their paths short.
        self._session = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        self.named: dict[str, Any] = {}
        self._disks: dict[str, subprocess.Popen[str]] = {}
        # Where Ray notes down which cluster is this machine's: not where other programs look for theirs.
        Path(self._session, "ray").mkdir()
        with self._environment({"RAY_TMPDIR": self._session}):
            self._cluster = Cluster(
                initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": self._session, **_HERE}
            )
        self.env = self.reach | {"RAY_ADDRESS": self._cluster.address}  # of a driver

    def cache(self, name: str) -> Path:
        """What a node fetches lies there."""
        return self.folder / f"cache of {name}"

    def add(self, name: str, **env: str) -> None:
        """Start a node. Its workers can import nothing of ours but what they fetch, as if it were not installed.

        Args:
            name: of the node, for the other methods.
            env: other words of its environment; see also hooks/sitecustomize.py.
        """
        assert name not in self.named
        cache = str(self.cache(name))
        with self._environment({"MNIST_NODE_CACHE": cache, "ONLY_FROM": cache, "PYTHONPATH": str(HOOKS)} | env):
            self.named[name] = self._cluster.add_node(num_cpus=1, **_HERE)

    def add_full(self, name: str) -> str:
        """Start a node that has no room for what it fetches, and return what the system says of that.

        Its cache is a file system of 5 MB, which its workers alone see. Where nobody may mount one, not even in a
        namespace of his own, a limit to what a file may hold stands in.
        """
        self.cache(name).mkdir(exist_ok=True)
        command = [*NAMESPACE, "sh", "-ec", _SMALL_DISK, "sh", str(self.cache(name))]
        disk = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._disks[name] = disk
        if disk.stdout and disk.stdout.readline() == "mounted\n":
            self.add(name, NAMESPACE_OF=str(disk.pid))
            return "No space left on device"
        self._disks.pop(name).communicate()
        self.add(name, LIMIT_FILES="1000000")
        return "File too large"

    def seen(self, name: str) -> Path:
        """The cache of a node, where this process finds what the node does."""
        root = Path(f"/proc/{self._disks[name].pid}/root") if name in self._disks else Path("/")
        return root / self.cache(name).relative_to("/")

    def recorded(self, name: str) -> str:
        """How records call a node."""
        return f"{platform.node()}:{self.named[name].node_id[:8]}"

    def remove(self, name: str) -> None:
        """End a node at once, with all that runs on it."""
        self._cluster.remove_node(self.named.pop(name), allow_graceful=False)
        if name in self._disks:
            self._disks.pop(name).communicate()

    def lose_head(self) -> None:
        """End what all nodes look to. Nothing can be done with this cluster afterwards but to close it."""
        self._cluster.head_node.kill_gcs_server()

    def close(self) -> None:
        self._cluster.shutdown()
        for disk in self._disks.values():
            disk.communicate()
        shutil.rmtree(self._session)

    @contextlib.contextmanager
    def _environment(self, words: dict[str, str] | None = None) -> Iterator[None]:
        # Ray would have its workers step back behind every other process, so behind all other tests.
        own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"} | self.reach
        with mock.patch.dict(os.environ, self._env | own | (words or {}), clear=True):
            yield
