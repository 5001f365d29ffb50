import itertools
import os
from unittest import mock

import pytest
from ray.exceptions import LocalRayletDiedError
from ray.tune import TuneError

from digits.errors import PipelineError
from scaling import cluster
from scaling.cluster import Cluster, ClusterError, Places, connected, named, places, room, without_gpu


def node(alive=True, name="here", **resources):
    """A node as Ray lists it."""
    identity = f"{next(COUNT):08x}{'0' * 48}"
    return {"Alive": alive, "Resources": resources, "NodeManagerHostname": name, "NodeID": identity}


COUNT = itertools.count()


@pytest.mark.parametrize(
    ("nodes", "device", "workers", "gpus"),
    [
        ([node(CPU=2)], "auto", 1, 0),
        ([node(CPU=8), node(CPU=5), node(CPU=1), node(alive=False, CPU=64), node()], "auto", 6, 0),
        ([node(CPU=8, GPU=2), node(CPU=16)], "auto", 2, 1),
        ([node(CPU=8, GPU=2), node(CPU=16)], "cpu", 12, 0),
        ([node(CPU=8, GPU=8)], "cuda", 4, 1),
    ],
)
def test_a_trial_gets_its_threads_and_a_gpu_where_there_is_one(nodes, device, workers, gpus):
    assert room(nodes, "10.0.0.1:6379", 2, device) == Cluster("10.0.0.1:6379", 2, gpus, workers)


def test_a_cluster_without_room_is_refused():
    with pytest.raises(
        ClusterError, match=r"a trial needs 4 processors \(train\.threads\), and no node has more than 2"
    ):
        room([node(CPU=2), node(CPU=1)], None, 4, "auto")


def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(ClusterError, match=r"train\.device: no node has a GPU; use `auto` or `cpu`"):
        room([node(CPU=2)], None, 2, "cuda")


def test_places_are_those_of_the_nodes_that_are_there():
    nodes = [node(CPU=8, GPU=2), node(CPU=5), node(CPU=1), node(alive=False, CPU=64)]
    first, second = named(nodes[0]), named(nodes[1])
    assert places(nodes, 2, 0) == {first: 4, second: 2}
    assert places(nodes, 2, 1) == {first: 2}
    assert first.startswith("here:")


def test_nodes_that_run_no_trial_where_each_gets_a_gpu_are_known(monkeypatch):
    nodes = [node(CPU=8, GPU=2), node(CPU=5), node(), node(alive=False, CPU=64)]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    assert without_gpu() == [named(nodes[1])]


def test_places_are_asked_for_now_and_then(monkeypatch):
    nodes, now = [node(CPU=2)], [0.0]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    found = Places(Cluster("10.0.0.1:6379", 1, 0, 2))
    assert sum(found().values()) == 2
    nodes.append(node(CPU=3))
    assert sum(found().values()) == 2
    now[0] = 6.0
    assert sum(found().values()) == 5


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (TuneError("no trial\nruns"), ClusterError, "^Ray has failed: no trial runs; see `ray status`$"),
        (LocalRayletDiedError(), ClusterError, "^Ray has failed: The task's local raylet died"),
        (PipelineError("the sweep's own"), PipelineError, "^the sweep's own$"),
    ],
)
def test_what_ray_fails_with_is_one_clear_error(monkeypatch, error, kind, said):
    monkeypatch.setattr(cluster, "_begin", lambda *_: None)
    monkeypatch.setattr("ray.nodes", lambda: [node(CPU=2)])
    with mock.patch.dict(os.environ), pytest.raises(kind, match=said), connected("10.0.0.1:6379", 1, "cpu"):
        raise error
