import asyncio
import json
import shutil

import numpy as np
import pytest

from delivery.slot import TOGETHER, Loaded, Slot, SlotError, Source
from delivery.smoke import Smoke
from digits.errors import PipelineError
from digits.onnx_model import OnnxModel

SMOKE = Smoke(True, 20, 19)


def version(name):
    return Loaded(name, None, None, SMOKE)


@pytest.fixture
def place(finished, tmp_path):
    """A stage's folder with two versions, the first one in place."""
    for name in ("v0.1.0", "v0.2.0"):
        folder = tmp_path / "versions" / name
        folder.mkdir(parents=True)
        for file in ("model.onnx", "smoke.npz"):
            shutil.copy(finished / "models" / file, folder)
        (folder / "version.json").write_text(json.dumps({"version": name, "commit": "c" * 40, "files": {}}))
    (tmp_path / "current").symlink_to("versions/v0.1.0")
    return tmp_path


def test_what_is_in_place_is_loaded_and_tested(place):
    loaded = Source(place / "current").load(0.5)
    assert (loaded.version, loaded.commit) == ("v0.1.0", "c" * 40)
    assert loaded.smoke.passed
    assert loaded.model.probabilities(np.zeros((3, 28, 28), np.uint8)).shape == (3, 10)


def test_a_version_is_tested_and_warmed_before_it_is_given_to_anybody(place, monkeypatch):
    run, sizes = OnnxModel.probabilities, []
    monkeypatch.setattr(
        OnnxModel, "probabilities", lambda model, images: sizes.append(len(images)) or run(model, images)
    )
    Source(place / "current").load(0.5)
    assert sizes == [20, TOGETHER]  # smoke set, and as many as ever share a call


def test_a_workspace_s_model_has_no_version(finished):
    loaded = Source(finished / "models", workspace=True).load(0.5)
    assert (loaded.version, loaded.commit) == ("workspace", None)


def test_files_are_those_of_one_version_though_another_takes_its_place(place, monkeypatch):
    from delivery import slot

    def moved_on(model):
        (place / "current").unlink()
        (place / "current").symlink_to("versions/v0.2.0")
        return real(model)

    real = slot.OnnxModel
    monkeypatch.setattr(slot, "OnnxModel", moved_on)
    (place / "versions/v0.2.0/smoke.npz").unlink()
    assert Source(place / "current").load(0.5).version == "v0.1.0"


@pytest.mark.parametrize("workspace", [False, True])
def test_where_there_is_none_it_is_told_how_to_bring_one(tmp_path, workspace):
    advice = "`make pull` or `make repro`" if workspace else "`make promote`"
    with pytest.raises(
        SlotError, match=f"model.onnx: not found, so there is no model to serve; bring one with {advice}"
    ):
        Source(tmp_path / "models", workspace).load(0.5)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("model.onnx", b"no model", "not an ONNX model"),
        ("smoke.npz", b"no archive", r"smoke\.npz"),
        ("version.json", b"{", "does not state a version .* deploy it again"),
        ("version.json", b"[]", "does not state a version"),
        ("version.json", b"{}", "does not state a version"),
    ],
)
def test_what_is_damaged_is_refused(place, file, content, complaint):
    (place / "versions/v0.1.0" / file).write_bytes(content)
    with pytest.raises(PipelineError, match=complaint):
        Source(place / "current").load(0.5)


def test_a_version_that_fails_its_smoke_test_is_refused(place):
    from digits.storage import read_arrays, write_arrays

    path = place / "versions/v0.1.0/smoke.npz"
    images, labels, probabilities = read_arrays(path, "images", "labels", "probabilities")
    write_arrays(path, images=images, labels=(labels + 1) % 10, probabilities=probabilities)
    with pytest.raises(SlotError, match=r"v0.1.0: the smoke test failed: \d+ of \d+ labels"):
        Source(place / "current").load(0.9)


def test_an_empty_slot_says_why():
    async def main():
        slot = Slot()
        slot.reason = "the disk is on fire"
        assert slot.current is None
        with pytest.raises(SlotError, match="the disk is on fire"):
            slot.take(1)
        await slot.switch(version("v0.1.0"))  # nothing to wait for
        assert slot.current.version == "v0.1.0"

    asyncio.run(main())


def test_a_switch_is_over_when_the_last_answer_of_older_versions_has_been_sent():
    async def main():
        slot, first, second, third = Slot(), version("v0.1.0"), version("v0.2.0"), version("v0.3.0")
        await slot.switch(first)
        assert slot.take(2) is first
        switching = asyncio.create_task(slot.switch(second))
        await asyncio.sleep(0)

        assert slot.take(1) is second  # from now on, though older answers are still under way
        slot.give_back(first)
        await asyncio.sleep(0)
        assert not switching.done()

        # Whoever asked for this switch has gone; the next one waits for the first version's answers, too.
        switching.cancel()
        switching = asyncio.create_task(slot.switch(third))
        await asyncio.sleep(0)
        slot.give_back(second)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not switching.done()
        slot.give_back(first)
        await switching
        assert slot.current is third

    asyncio.run(main())


def test_answers_of_the_new_version_hold_nobody_up():
    async def main():
        slot, new = Slot(), version("v0.2.0")
        await slot.switch(version("v0.1.0"))
        await slot.switch(new)
        slot.take(5)
        await slot.switch(new)  # loaded again, say

    asyncio.run(main())
