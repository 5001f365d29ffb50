import pytest

from digits.architecture import ModelParams
from digits.params import ParamsError, parse
from tests.synthetic import PARAMS

MODEL = PARAMS["model"]


def test_sides_follow_from_kernels_paddings_and_pools():
    params = ModelParams((16, 40), (5, 5), (0, 0), (2, 2), "gelu", deskew=False)
    assert params.sides() == [12, 4]
    assert ModelParams((16, 40, 8), (5, 3, 3), (2, 1, 0), (3, 2, 1), "gelu", deskew=False).sides() == [9, 4, 2]


def test_lists_of_different_length_are_refused():
    with pytest.raises(
        ParamsError, match=r"^model: channels, kernels, paddings and pools need one entry for each conv"
    ):
        parse(ModelParams, MODEL | {"pools": [2]}, "model")


def test_architecture_that_uses_up_all_pixels_is_refused():
    with pytest.raises(
        ParamsError, match=r"^model: convolution 2 has no pixel left: kernel 9 and pool 2 on 8x8 pixels"
    ):
        parse(ModelParams, MODEL | {"kernels": [5, 9]}, "model")


def test_last_pixel_is_enough():
    assert parse(ModelParams, MODEL | {"kernels": [5, 7]}, "model").sides() == [8, 1]
