import dataclasses

import pytest

from benchmarks import basis, machine, stale
from digits.storage import write_text
from monitoring import data_drift

LOCK = """
stages:
  train: {outs: [{path: models/model.safetensors, md5: 11111111aaaa}]}
  export: {deps: [{path: models/model.safetensors, md5: 22222222bbbb}], outs: [{path: models/model.onnx, md5: %s}]}
"""
PARAMS = "monitoring: {warn: 0.01, tail_rank: 50, cusum: {usual: 0.015, harmful: 0.05}}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a model of four bytes, and a document that quotes a result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(basis, "HOLDS_FOR", {"name": (basis.MODEL, "monitoring.tail_rank", "monitoring.cusum")})
    for name in ("models", "benchmarks/results"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "models/model.onnx").write_bytes(b"1234")
    write_text(tmp_path / "dvc.lock", LOCK % "81dc9bdb52d04dc20036dbd8313ed055")
    write_text(tmp_path / "params.yaml", PARAMS)
    for document in machine.QUOTING:
        write_text(document, "Quoted:\n\n")
    machine.publish("name", "python -m benchmarks.name", "| 1 |")
    write_text(machine.QUOTING[0], f"Quoted:\n\n{(machine.RESULTS / 'name.md').read_text()}\nAfter.\n")
    return tmp_path


def result():
    return (machine.RESULTS / "name.md").read_text()


def test_a_result_says_what_it_holds_for(project):
    assert list(basis.stated(result())) == [basis.MODEL, "monitoring.tail_rank", "monitoring.cusum"]
    assert basis.stated(result())[basis.MODEL] == "81dc9bdb"
    assert basis.stated(result())["monitoring.tail_rank"] == "50"
    assert basis.others(result()) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("dvc.lock", "81dc9bdb", "91dc9bdb", ["models/model.onnx"]),
        ("dvc.lock", "11111111", "33333333", []),
        ("params.yaml", "50", "60", ["monitoring.tail_rank"]),
        ("params.yaml", "0.015", "0.02", ["monitoring.cusum"]),
        ("params.yaml", "0.01,", "0.02,", []),
        ("params.yaml", "usual: 0.015, harmful: 0.05", "harmful: 0.05, usual: 1.5e-2", []),
    ],
)
def test_what_changed_is_said_in_the_result_and_where_it_is_quoted_until_it_is_measured_again(
    project, file, old, new, found
):
    before = result()
    machine.replace(project / file, old, new)
    assert basis.others(before) == found
    stale.main()
    stale.main()
    mark = f"\n{stale.STALE}{', '.join(f'`{name}`' for name in found)}.\n" if found else ""
    assert result() == before + mark
    assert machine.QUOTING[0].read_text() == f"Quoted:\n\n{before}{mark}\nAfter.\n"
    machine.replace(project / file, new, old)
    stale.main()
    assert result() == before


def test_a_model_that_dvc_lock_does_not_name_is_not_measured(project):
    (project / "models/model.onnx").write_bytes(b"12345")
    with pytest.raises(basis.BasisError, match=r"models/model\.onnx: not the one that dvc\.lock names"):
        machine.publish("name", "python -m benchmarks.name", "| 2 |")
    assert "| 1 |" in result()


def test_detectors_that_judge_in_another_way_are_others(monkeypatch):
    before = basis.detectors()
    assert basis.detectors() == before
    tail = data_drift.far_out

    def far_out(*given):
        return dataclasses.replace(tail(*given), statistic=0.0)

    monkeypatch.setattr(data_drift, "far_out", far_out)
    assert basis.detectors() != before
