import pytest

from scaling.cluster import Cluster, ClusterError, room


def node(alive=True, **resources):
    return {"Alive": alive, "Resources": resources}


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
