import pytest

from scaling import experiments
from scaling.experiments import ExperimentError
from tests.scaling import lab


@pytest.fixture(autouse=True)
def _repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.repository(tmp_path)


def test_experiments_are_found_by_name_and_nothing_else_of_dvc_s():
    made = lab.experiment("quick", {"train.seed": 3})
    lab.git("update-ref", "refs/exps/stash", made)
    lab.git("update-ref", "refs/exps/exec/EXEC_HEAD", made)
    assert experiments.experiments() == {"quick": made}
    assert experiments.resolve("quick") == made


def test_a_revision_is_a_name_too():
    head = lab.git("rev-parse", "HEAD")
    lab.git("tag", "v1")
    assert experiments.resolve("v1") == experiments.resolve("main") == experiments.resolve(head[:8]) == head


@pytest.mark.parametrize("name", ["nothing", "--all", ""])
def test_what_is_neither_is_refused(name):
    with pytest.raises(ExperimentError, match="no DVC experiment and no Git revision here"):
        experiments.resolve(name)


def test_params_and_metrics_of_an_experiment():
    made = lab.experiment("quick", {"train.seed": 3}, validation=0.9922, test=0.99, parameters=700, curve=(0.9, 0.9922))
    found = experiments.measured(made)
    assert (found.parameters, found.validation_accuracy, found.test_accuracy) == (700, 0.9922, 0.99)
    assert found.curve == (0.9, 0.9922)
    assert found.train.seed == 3
    assert found.model.channels == (4, 8)


def test_a_commit_that_was_not_evaluated_says_what_is_missing():
    with pytest.raises(ExperimentError, match=r"results/train/metrics\.json: not in "):
        experiments.measured(lab.git("rev-parse", "HEAD"))


@pytest.mark.parametrize("content", ["- a list", "{", "\xff"])
def test_a_file_that_is_no_mapping_is_named(tmp_path, content):
    (tmp_path / "params.yaml").write_text(content, encoding="latin-1")
    with pytest.raises(ExperimentError, match=r"params\.yaml in the workspace: "):
        experiments.document(None, "params.yaml")
