"""Ray, on this machine or on the cluster that RAY_ADDRESS names.

Ray moves Python objects by pickle, so whoever can reach a cluster can run anything on it: use one that you trust. A Ray
of our own is for this process alone: it listens on the loopback interface, takes orders only from who knows its token,
keeps its sockets and logs where other users of the machine can't look, and ends with this process, also by a kill.
"""

import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, NamedTuple

from digits.errors import PipelineError

_STORE_BYTES = 100_000_000  # what passes through Ray's store is small, since data are read from files
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a sweep has records of its own
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a sweep at once: what it goes on from is on the disk already
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # how many run at once is Search's business
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # a lost node is a line of ours, not twenty of its log
}
_OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback interface alone, as where Ray supports no clusters
    "RAY_AUTH_MODE": "token",
    "RAY_worker_niceness": "0",  # trials are what one waits for: as much processor time for them as for any training
}


class ClusterError(PipelineError):
    """A cluster that can't be reached, or is too small."""


class Cluster(NamedTuple):
    """What a trial gets, and how many run at once."""

    address: str | None
    cpus: int
    gpus: int
    workers: int

    @property
    def head(self) -> str:
        """HOST:PORT where its head node listens, whatever the address is."""
        import ray

        return str(ray.get_runtime_context().gcs_address)


@contextmanager
def connected(address: str | None, threads: int, device: str) -> Iterator[Cluster]:
    """Connect to a cluster, or start a Ray of our own.

    Args:
        address: of a cluster; None for this machine alone.
        threads: processors that a trial uses, `train.threads`.
        device: `train.device`; where there are GPUs, a trial gets one, unless it is "cpu".

    Raises:
        ClusterError: no cluster is there, or no node has room for a trial.
    """
    # Before Ray is imported, which reads them then.
    os.environ.update(_QUIET | (_OWN if address is None else {}))
    if address is None:
        # Stays the same in this process, for Ray reads it once. Not in ~/.ray/auth_token, where Ray would keep one.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # how a trial ends is told by its record
    # Paths of sockets have to be short, so not in TMPDIR. Ray opens its folder to all, so it lies in a closed one.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        _begin(address, threads, device, f"{folder}/own")
        try:
            yield room(ray.nodes(), address, threads, device)  # type: ignore[no-untyped-call]
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "ray":
                raise
            said = " ".join(str(error).split())[:600] or type(error).__name__
            raise ClusterError(f"Ray has failed: {said}; see `ray status`") from None
        finally:
            ray.shutdown()


def _begin(address: str | None, threads: int, device: str, folder: str) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        from ray._raylet import Config  # type: ignore[attr-defined]

        Config.initialize("")  # it reads RAY_AUTH_MODE once more, for Ray may have been imported before that was set
        cpus = max(threads, processors())
        own: dict[str, Any] = {"object_store_memory": _STORE_BYTES, "include_dashboard": False, "_temp_dir": folder}
        # Ray counts GPUs whatever torch can do with them.
        if device == "cpu" or metadata.version("torch").endswith("+cpu"):
            own["num_gpus"] = 0
        ray.init(address="local", num_cpus=cpus, **own, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        said = " ".join(str(error).split())
        raise ClusterError(
            f"RAY_ADDRESS={address}: no cluster answers ({said}); start one with `ray start --head`, or unset it "
            f"to use this machine alone"
        ) from None


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def room(nodes: list[dict[str, Any]], address: str | None, threads: int, device: str) -> Cluster:
    """What a trial gets of a cluster's nodes, as Ray lists them.

    Raises:
        ClusterError: see `connected`.
    """
    alive = _alive(nodes)
    gpus = int(device != "cpu" and any(node.get("GPU", 0) >= 1 for node in alive.values()))
    if device == "cuda" and not gpus:
        raise ClusterError("train.device: no node has a GPU; use `auto` or `cpu`")
    workers = sum(places(nodes, threads, gpus).values())
    if not workers:
        largest = max((node.get("CPU", 0) for node in alive.values()), default=0)
        raise ClusterError(f"a trial needs {threads} processors (train.threads), and no node has more than {largest:g}")
    return Cluster(address, threads, gpus, workers)


def places(nodes: list[dict[str, Any]], cpus: float, gpus: int) -> dict[str, int]:
    """How many trials each node that is alive runs at once; without those that run none."""
    found = {
        name: int(min(node.get("CPU", 0) // cpus, node.get("GPU", 0) // gpus if gpus else node.get("CPU", 0) // cpus))
        for name, node in _alive(nodes).items()
    }
    return {name: count for name, count in found.items() if count}


def without_gpu() -> list[str]:
    """Nodes of the connected cluster that run no trial where each trial gets a GPU."""
    import ray

    nodes = _alive(ray.nodes())  # type: ignore[no-untyped-call]
    return sorted(name for name, node in nodes.items() if node.get("CPU", 0) >= 1 and node.get("GPU", 0) < 1)


class Places:
    """The same, as the connected cluster is now: nodes come and go."""

    _SECONDS = 5.0  # that an answer holds

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._until, self._found = 0.0, dict[str, int]()

    def __call__(self) -> dict[str, int]:
        """How many trials each node runs at once."""
        import ray

        if time.monotonic() >= self._until:
            nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
            self._found = places(nodes, self._cluster.cpus, self._cluster.gpus)
            if self._cluster.address is None:  # one node, which stays
                self._found = dict.fromkeys(self._found, self._cluster.workers)
            self._until = time.monotonic() + self._SECONDS
        return self._found


def named(node: dict[str, Any]) -> str:
    """The machine's name, and the first letters of what Ray calls it, as in records."""
    return f"{node['NodeManagerHostname']}:{node['NodeID'][:8]}"


def _alive(nodes: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {named(node): node["Resources"] for node in nodes if node["Alive"]}
