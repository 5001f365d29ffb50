import json

import pytest

from digits.model import DigitClassifier, parameter_count
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


@pytest.mark.parametrize(
    ("channels", "kernels", "paddings", "pools"),
    [
        ([16, 48], [5, 4], [0, 0], [3, 1]),
        ([3, 5], [5, 3], [0, 0], [3, 3]),
        ([16, 24, 32, 32], [5, 3, 3, 3], [0, 1, 0, 0], [2, 1, 2, 1]),
        ([7], [28], [2], [2]),
    ],
)
def test_parameters_are_counted_as_the_built_network_has_them(workspace, channels, kernels, paddings, pools):
    shape = {"channels": channels, "kernels": kernels, "paddings": paddings, "pools": pools}
    params, _ = settings.sections({f"model.{key}": value for key, value in shape.items()}, settings.base())
    assert settings.parameter_count(params) == parameter_count(DigitClassifier(params))


def test_a_trial_trains_in_one_process(workspace):
    synthetic.write_params(workspace, train={"processes": 2})
    with pytest.raises(SpaceError, match=r"params\.yaml: train\.processes: a trial trains in one process; set it to 1"):
        settings.base()
