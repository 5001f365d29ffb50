import dataclasses

import pytest
import torch

from digits.deskew import deskew
from digits.model import DigitClassifier


def bar(slant: float) -> torch.Tensor:
    """A bar two pixels wide through the middle of a picture, leaning by `slant` pixels a row."""
    y = torch.arange(28.0) - 13.5
    distance = (torch.arange(28.0) - 13.5)[None, :] + slant * y[:, None]
    picture = (2 - distance.abs()).clamp(0, 1) * 200
    picture[:4], picture[-4:] = 0, 0
    return picture[None]


def covariance(image: torch.Tensor) -> float:
    y = torch.arange(28.0) - (image.sum(1) @ torch.arange(28.0)) / image.sum()
    x = torch.arange(28.0) - (image.sum(0) @ torch.arange(28.0)) / image.sum()
    return ((y @ image @ x) / image.sum()).item()


@pytest.mark.parametrize("slant", [-0.5, 0.3])
def test_slant_is_taken_out(slant):
    leaning = bar(slant)
    assert abs(covariance(leaning[0])) > 5
    assert abs(covariance(deskew(leaning)[0])) < 0.2


def test_upright_image_stays_as_it_is():
    torch.testing.assert_close(deskew(bar(0.0)), bar(0.0), atol=0.1, rtol=0)


def test_empty_image_stays_empty():
    assert torch.equal(deskew(torch.zeros(2, 28, 28)), torch.zeros(2, 28, 28))


def test_image_with_one_row_stays_finite():
    image = torch.zeros(1, 28, 28)
    image[0, 5, 3:20] = 255
    assert deskew(image).isfinite().all()


def test_each_image_is_sheared_on_its_own():
    together = deskew(torch.cat([bar(0.3), bar(-0.5)]))
    torch.testing.assert_close(together[1:], deskew(bar(-0.5)))


def test_model_deskews_where_that_is_chosen(model_params):
    plain, upright = (
        DigitClassifier(dataclasses.replace(model_params, deskew=choice), 10, 50).normalise(bar(0.3).byte())
        for choice in (False, True)
    )
    torch.testing.assert_close(plain, (bar(0.3).byte().float() - 10) / 50)
    torch.testing.assert_close(upright, (deskew(bar(0.3).byte().float()) - 10) / 50)
