"""A Ray cluster of several nodes on one machine, each with an environment and a cache folder of its own."""

import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from ray.cluster_utils import Cluster

from tests.e2e.project import HOOKS

# Loopback, so that nobody else reaches it. For 127.0.0.1 Ray would put the machine's other address.
_IP = "127.0.0.2"
_HERE = {"node_ip_address": _IP, "object_store_memory": 80_000_000, "include_dashboard": False}


class Nodes:
    """Nodes by name. The head runs no trial; of the others each has one processor."""

    reach: ClassVar = {"no_grpc_proxy": _IP}

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self._env = folder, env
        # Ray's sockets lie in there, and the system wants their paths short.
        self._session = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        self.named: dict[str, Any] = {}
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

    def recorded(self, name: str) -> str:
        """How records call a node."""
        return f"{platform.node()}:{self.named[name].node_id[:8]}"

    def remove(self, name: str) -> None:
        """End a node at once, with all that runs on it."""
        self._cluster.remove_node(self.named.pop(name), allow_graceful=False)

    def lose_head(self) -> None:
        """End what all nodes look to. Nothing can be done with this cluster afterwards but to close it."""
        self._cluster.head_node.kill_gcs_server()

    def close(self) -> None:
        self._cluster.shutdown()
        shutil.rmtree(self._session)

    @contextlib.contextmanager
    def _environment(self, words: dict[str, str] | None = None) -> Iterator[None]:
        own = {"RAY_USAGE_STATS_ENABLED": "0"} | self.reach
        with mock.patch.dict(os.environ, self._env | own | (words or {}), clear=True):
            yield
