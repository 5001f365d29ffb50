import pytest
from ray.exceptions import WorkerCrashedError

from scaling.nodes import NodeError, VersionError
from scaling.preflight import PreflightError, judged

FULL = NodeError("node b: /cache: No space left on device")
OTHER = VersionError("node c: torch 1.0 is here, 2.0 where the sweep was started")


def test_a_node_without_room_or_lost_is_told_and_the_others_go_on():
    answers = {"a:1": None, "b:2": FULL, "d:3": ConnectionError("lost meanwhile"), "e:4": WorkerCrashedError()}
    ready, unfit = judged(answers)
    assert ready == ["a:1"]
    assert unfit["b:2"] == "node b: /cache: No space left on device"
    assert unfit["d:3"] == "node d:3: lost meanwhile"
    assert unfit["e:4"].startswith("node e:4: The worker died unexpectedly")


def test_a_node_of_another_version_refuses_the_sweep_and_all_are_named():
    with pytest.raises(PreflightError) as caught:
        judged({"a:1": None, "b:2": FULL, "c:3": OTHER})
    assert str(caught.value) == f"the cluster can't run this sweep:\n  {FULL}\n  {OTHER}"


def test_a_cluster_in_which_none_is_ready_is_refused():
    with pytest.raises(
        PreflightError, match=r"can't run this sweep:\n  node b: .*\n  node d:3: no answer for 900 seconds"
    ):
        judged({"b:2": FULL, "d:3": TimeoutError("no answer for 900 seconds")})
    with pytest.raises(PreflightError, match="no node is left"):
        judged({})
