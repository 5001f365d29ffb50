"""The default model on the real data: the same bits, wherever it is trained."""

import pytest

from tests.e2e.project import STAGES, cold

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("threads", ["1", "4"])
def test_everything_again_gives_the_same_bits(checkout, pulled, tmp_path, threads):
    project = checkout.clone(tmp_path / f"a folder elsewhere, {threads}")
    project.env = cold(project.env)
    project.dvc("pull", "data/raw", "data/production")

    ran = project.repro("--force", env={"OMP_NUM_THREADS": threads})

    assert ran == STAGES
    assert (project / "dvc.lock").read_bytes() == (checkout / "dvc.lock").read_bytes()
    assert project.outputs() == pulled.outputs()
    assert project.git("status", "--porcelain") == ""
