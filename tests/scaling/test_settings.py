import json

import pytest

from digits.params import ParamsError
from scaling import settings
from scaling.settings import SpaceError
from tests import synthetic


def test_base_is_what_params_yaml_says_and_json(workspace):
    base = settings.base()
    assert base["model"]["channels"] == [4, 8]
    assert base["train"]["learning_rate"] == 0.05
    assert json.loads(json.dumps(base)) == base


def test_settings_replace_what_params_yaml_says(workspace):
    model, train = settings.sections({"model.channels": [3, 5], "train.seed": 7}, settings.base())
    assert (model.channels, model.kernels, train.seed, train.batch_size) == ((3, 5), (5, 3), 7, 16)


def test_settings_that_do_not_go_together_are_refused(workspace):
    with pytest.raises(ParamsError, match="model: convolution 1 has no pixel left"):
        settings.sections({"model.kernels": [27, 5]}, settings.base())


def test_a_trial_trains_in_one_process(workspace):
    synthetic.write_params(workspace, train={"processes": 2})
    with pytest.raises(SpaceError, match=r"params\.yaml: train\.processes: a trial trains in one process; set it to 1"):
        settings.base()
