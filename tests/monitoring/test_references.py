import pytest

from digits.drift_reference import DriftReferenceError
from digits.storage import FileError, write_arrays
from monitoring.references import References
from tests.monitoring.traffic import REFERENCE


def test_a_deployed_version_s_reference_is_read_once(tmp_path):
    path = tmp_path / "versions/v0.1.0/reference.npz"
    references = References(tmp_path)
    assert references("v0.1.0") is None
    write_arrays(path, **vars(REFERENCE))
    found = references("v0.1.0")
    assert found.distances.tolist() == REFERENCE.distances.tolist()
    path.unlink()
    assert references("v0.1.0") is found


def test_the_workspace_s_own_is_beside_its_model(tmp_path):
    references = References(tmp_path / "staging", tmp_path / "models")
    assert references("workspace") is None
    write_arrays(tmp_path / "models/reference.npz", **vars(REFERENCE))
    assert len(references("workspace")) == len(REFERENCE)


@pytest.mark.parametrize("version", ["../v1", "/v1", "a/../../v1", "", ".", ".."])
def test_a_version_s_name_leads_nowhere_else(tmp_path, version):
    write_arrays(tmp_path / "v1/reference.npz", **vars(REFERENCE))
    (tmp_path / "stage/versions").mkdir(parents=True)
    assert References(tmp_path / "stage")(version) is None


def test_what_is_no_reference_is_refused(tmp_path):
    path = tmp_path / "versions/v1/reference.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(FileError, match=r"v1/reference\.npz: not an archive"):
        References(tmp_path)("v1")
    write_arrays(path, **(vars(REFERENCE) | {"predicted": REFERENCE.predicted + 1}))
    with pytest.raises(DriftReferenceError, match=r"v1/reference\.npz: not sorted"):
        References(tmp_path)("v1")
