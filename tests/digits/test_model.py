import dataclasses

import pytest
import torch
from torch.nn import functional

from digits.model import DigitClassifier, Probabilities, parameter_count, whitening_filters
from tests.synthetic import digits


def images(count: int = 8) -> torch.Tensor:
    return torch.from_numpy(digits(count).images)


def test_scores_have_one_column_a_class(model_params):
    scores = DigitClassifier(model_params)(images(8))
    assert (scores.shape, scores.dtype) == ((8, 10), torch.float32)


def test_parameters_are_those_by_hand(model_params):
    # Convolutions without bias, two numbers a channel of batch normalisation, a linear layer with bias.
    assert parameter_count(DigitClassifier(model_params)) == 4 * 25 + 8 + 8 * 4 * 9 + 16 + 8 * 9 * 10 + 10


def test_pixels_are_normalised_in_the_model(model_params):
    torch.manual_seed(0)
    plain = DigitClassifier(model_params, pixel_mean=0, pixel_std=1).eval()
    normalising = DigitClassifier(model_params, pixel_mean=30, pixel_std=70).eval()
    normalising.blocks, normalising.classify = plain.blocks, plain.classify
    torch.testing.assert_close(normalising(images()), plain((images().float() - 30) / 70))


def test_probabilities_are_the_softmax_of_the_scores(model_params):
    model = DigitClassifier(model_params).eval()
    probabilities = Probabilities(model).eval()(images())
    torch.testing.assert_close(probabilities, functional.softmax(model(images()), 1))


def test_temperature_divides_the_scores(model_params):
    model = DigitClassifier(model_params).eval()
    before = model(images())
    model.temperature.fill_(2)
    torch.testing.assert_close(model(images()), before / 2)


@pytest.mark.parametrize(("name", "kind"), [("gelu", "GELU"), ("relu", "ReLU"), ("silu", "SiLU")])
def test_activation_is_the_chosen_one(model_params, name, kind):
    model = DigitClassifier(dataclasses.replace(model_params, activation=name))
    assert [type(part).__name__ for part in model.blocks] == ["Conv2d", "MaxPool2d", "BatchNorm2d", kind] * 2


def test_pool_of_one_is_no_layer(model_params):
    model = DigitClassifier(dataclasses.replace(model_params, pools=(3, 1)))
    assert [type(part).__name__ for part in model.blocks][4:] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert model(images()).shape == (8, 10)


def responses(filters: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Covariance of the filters' answers over all patches."""
    answers = functional.conv2d(pixels.unsqueeze(1), filters)
    return torch.cov(answers.transpose(0, 1).flatten(1))


def test_whitening_filters_decorrelate_patches():
    pixels = images(200).float() / 100
    covariance = responses(whitening_filters(pixels, 8, 5, ridge=0.0)[:4], pixels)
    torch.testing.assert_close(covariance / covariance[0, 0], torch.eye(4), atol=1e-3, rtol=0)


def test_neighbouring_pixels_are_correlated_without_whitening():
    pixels = images(200).float() / 100
    unit = torch.eye(25)[:4].reshape(4, 1, 5, 5)
    covariance = responses(unit, pixels)
    assert covariance[0, 1] / covariance[0, 0] > 0.3


def test_second_half_of_the_filters_is_the_first_with_the_other_sign():
    filters = whitening_filters(images(200).float() / 100, 8, 5)
    assert filters.shape == (8, 1, 5, 5)
    torch.testing.assert_close(filters[4:], -filters[:4])


def test_filters_have_the_spread_of_the_default_initialisation():
    filters = whitening_filters(images(200).float() / 100, 8, 5)
    assert filters.std().item() == pytest.approx(1 / (3**0.5 * 5), rel=1e-5)


def test_sign_of_a_filter_is_fixed():
    filters = whitening_filters(images(200).float() / 100, 8, 5)[:4].flatten(1)
    assert (filters.double() @ torch.arange(1, 26).double().sqrt() >= 0).all()


def test_more_filters_than_directions_are_repeated():
    filters = whitening_filters(images(200).float() / 100, 21, 3)
    assert filters.shape == (21, 1, 3, 3)
    torch.testing.assert_close(filters[18:], filters[:3])
