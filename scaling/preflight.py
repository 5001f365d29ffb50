"""What the nodes of a cluster say before the first trial: which can run it, and which can't, and why."""

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from digits.errors import PipelineError
from scaling.cluster import named
from scaling.nodes import NodeError, Spec, VersionError, prepare_node

_PATIENCE = 900.0  # seconds that a node has to fetch code and data; it gives up on Git and DVC before
_QUIET = 60.0  # more than a node usually takes


class PreflightError(PipelineError):
    """A cluster that can't run a sweep."""


class Preflight(NamedTuple):
    """Nodes by name."""

    ready: list[str]
    unfit: dict[str, str]  # and why each is; they may become ready


def check_nodes(spec: Spec, able: Container[str]) -> Preflight:
    """Prepare every node of the connected cluster that can run trials, all at once.

    Args:
        spec: code and data.
        able: names of the nodes that have room for a trial; the others are asked for nothing.

    Raises:
        PreflightError: a node has another version of Python, of a package or of our code; or none is ready. Says which,
            and why each.
    """
    return judged(asked(spec, able))


def judged(answers: Mapping[str, Exception | None]) -> Preflight:
    """What to do about the nodes' answers: None of each that is ready, or why it is not.

    Raises:
        PreflightError: see `check_nodes`.
    """
    unfit = {name: _told(name, error) for name, error in answers.items() if error is not None}
    ready = [name for name in answers if name not in unfit]
    if not ready or any(isinstance(error, VersionError) for error in answers.values()):
        problems = list(unfit.values()) or ["no node is left; see `ray status`"]
        raise PreflightError("the cluster can't run this sweep:\n" + "\n".join(f"  {problem}" for problem in problems))
    return Preflight(ready, unfit)


def asked(
    spec: Spec,
    able: Container[str],
    prepare: Callable[[Spec], Path] = prepare_node,
    *,
    patience: float = _PATIENCE,
    quiet: float = _QUIET,
) -> dict[str, Exception | None]:
    """The answer of each node: None if it is ready.

    Args:
        spec: code and data.
        able: see `check_nodes`.
        prepare: what they are asked to do.
        patience: seconds, after which a node that hangs is waited for no more.
        quiet: seconds, after which it is said who is waited for.
    """
    import ray  # an extra
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    import scaling

    ray.cloudpickle.register_pickle_by_value(scaling)  # type: ignore[no-untyped-call]
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node for node in known if node["Alive"] and named(node) in able]
    task = ray.remote(num_cpus=0, max_retries=0)(prepare)
    waiting = [task.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(spec) for node in nodes]
    names = dict(zip(waiting, map(named, nodes), strict=True))
    answered, late = ray.wait(waiting, num_returns=len(waiting), timeout=min(quiet, patience)) if waiting else ([], [])
    if late and quiet < patience:
        print(f"waits for {', '.join(names[one] for one in late)}, at most {patience:g} seconds", flush=True)
        in_time, late = ray.wait(late, num_returns=len(late), timeout=patience - quiet)
        answered += in_time
    for one in late:
        ray.cancel(one, force=True)  # it has the lock of the node's cache
    answers: dict[str, Exception | None] = {}
    for answer, name in names.items():
        if answer not in answered:
            answers[name] = TimeoutError(f"no answer for {patience:g} seconds")
            continue
        try:
            ray.get(answer)
            answers[name] = None
        except ray.exceptions.RayTaskError as error:
            answers[name] = error.cause if isinstance(error.cause, Exception) else error
        except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
            answers[name] = ConnectionError("lost meanwhile")
        except ray.exceptions.RayError as error:  # it can't start a process, say
            answers[name] = error
    return answers


def _told(name: str, error: Exception) -> str:
    if isinstance(error, NodeError):
        return str(error)
    if isinstance(error, (TimeoutError, ConnectionError)):
        return f"node {name}: {error}"
    return f"node {name}: {' '.join(str(error).split()) or type(error).__name__}"
