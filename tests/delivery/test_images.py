"""Any picture of a digit comes out in MNIST's form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from delivery.images import PictureError, ink, normalised, picture
from tests.delivery.pictures import PIXELS, assert_in_form, encoded, png, raw_png, seven


@pytest.mark.parametrize(
    ("height", "width"), [(28, 28), (20, 20), (12, 12), (64, 48), (280, 280), (90, 700), (700, 90), (501, 1999)]
)
def test_any_size_comes_out_in_the_form_of_mnist(height, width):
    result = picture(png(seven(height, width)), PIXELS * 2)
    assert_in_form(result)
    for axis in (1, 0):
        assert abs(result.sum(axis) / result.sum() @ np.arange(28) - 14) <= 0.5
    extent = [np.ptp(np.flatnonzero(result.any(axis))) + 1 for axis in (1, 0)]
    assert max(extent) >= 19  # 20, but for an edge that rounds to nothing


def test_a_picture_in_that_form_stays_as_it_is():
    """Of MNIST's own that is tested in e2e/test_pictures.py."""
    image = picture(png(seven(280, 200)), PIXELS)
    assert (picture(png(image), PIXELS) == image).all()
    assert (picture(png(255 - image), PIXELS) == image).all()


@pytest.mark.parametrize(("size", "rounding"), [((28, 28), 0), ((97, 61), 0), ((800, 600), 2)])
def test_dark_on_light_is_light_on_dark(size, rounding):
    """Pictures of more than 500 pixels are reduced first, to whole levels: half of one up in both cases."""
    levels = seven(*size)
    dark, light = (picture(png(shown), PIXELS).astype(int) for shown in (levels, 255 - levels))
    assert np.abs(dark - light).max() <= rounding


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.data())
def test_whatever_is_drawn_comes_out_in_the_form_or_is_blank(data):
    """Also where the page is uneven, for which a plane is taken away that may leave the range of pixels."""
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    seed, kind = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.sampled_from(["noise", "bilevel", "slope", "bend"]))
    random = np.random.default_rng(seed)
    levels = random.random((height, width)) * 255
    if kind == "bilevel":
        levels = (levels > 255 * random.random()) * 255.0
    elif kind == "slope":
        levels = np.linspace(0, 255, width)[None].repeat(height, 0)
        levels[height // 3 : height // 2 + 1, width // 3 : width // 2 + 1] = random.choice([0, 255])
    elif kind == "bend":
        levels = np.linspace(0, 255, width)[None] * np.linspace(0, 1, height)[:, None] ** 3
        levels[:, width // 3] = random.choice([0, 255])
    try:
        strokes = ink(levels.astype(np.float32))
    except PictureError as error:
        assert "blank" in str(error)  # noqa: PT017
        return
    assert_in_form(normalised(strokes))


def test_ink_that_stands_out_by_more_than_the_range_of_pixels_stays_ink():
    """A white mark on a page that is darker there than black, going by its slope."""
    strokes = np.zeros((28, 28), np.float32)
    strokes[5:23, 12:16] = 300
    assert set(np.unique(normalised(strokes))) == {0, 255}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_every_kind_of_png_shows_the_same(mode):
    levels = seven(56, 56)
    image = Image.fromarray(levels)
    changed = Image.fromarray(levels.astype(np.uint16) * 257) if mode == "I;16" else image.convert("RGB").convert(mode)
    assert (picture(encoded(changed), PIXELS) == picture(png(levels), PIXELS)).all()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_grey_levels(depth):
    levels = seven(64, 64)
    bits = (levels > 127).repeat(depth, axis=1)  # all ones are white at every depth
    rows = b"".join(b"\x00" + row.tobytes() for row in np.packbits(bits, axis=1))
    assert (picture(raw_png(64, 64, rows, depth), PIXELS) == picture(png(levels), PIXELS)).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
def test_every_kind_of_jpeg_shows_nearly_the_same(mode, options):
    levels = seven(256, 256)
    content = encoded(Image.fromarray(levels).convert(mode), "JPEG", quality=95, **options)
    difference = picture(content, PIXELS).astype(int) - picture(png(levels), PIXELS)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("strokes", [0, 255])
def test_strokes_on_nothing_show_on_what_they_differ_from(strokes):
    levels = seven(56, 56)
    expected = picture(png(levels), PIXELS)
    clear = np.zeros((56, 56, 4), np.uint8)  # transparent black, as a canvas is before it is drawn on
    clear[levels == 0] = (strokes, strokes, strokes, 255)
    assert (picture(png(clear), PIXELS) == expected).all()
    palette = Image.new("P", (56, 56))
    palette.putpalette([0, 0, 0, strokes, strokes, strokes])
    palette.putdata((levels == 0).astype(np.uint8).ravel().tolist())
    assert (picture(encoded(palette, transparency=0), PIXELS) == expected).all()


def test_what_is_hidden_by_transparency_does_not_show_where_a_picture_is_reduced():
    """Editors leave any colour under what they made transparent."""
    levels = seven(1200, 1200)
    expected = picture(png(levels), 2 * PIXELS).astype(int)
    for hidden in (0, 90, 255):
        shown = np.full((1200, 1200, 4), hidden, np.uint8)
        shown[..., 3] = 255 - levels
        shown[levels == 0, :3] = 0
        assert np.abs(picture(png(shown), 2 * PIXELS) - expected).max() <= 3


def test_a_camera_that_was_held_sideways():
    upright = Image.fromarray(seven(120, 80))
    remark = Image.Exif()
    remark[0x0112] = 6  # turn it by 90 degrees clockwise to see it upright
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    expected = picture(encoded(upright, "JPEG", quality=95), PIXELS).astype(int)
    found = picture(encoded(lying, "JPEG", quality=95, exif=remark), PIXELS)
    assert np.abs(found - expected).mean() < 3
    assert np.abs(picture(encoded(lying, "JPEG", quality=95), PIXELS) - expected).mean() > 20


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_remark_of_the_camera_that_is_damaged_is_no_damage_to_the_picture():
    image = Image.fromarray(seven(120, 80))
    damaged = encoded(image, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f" + b"\xff" * 40)
    assert (picture(damaged, PIXELS) == picture(encoded(image, "JPEG"), PIXELS)).all()


def test_of_an_animation_the_first_picture_counts():
    first, second = (Image.fromarray(levels) for levels in (seven(60, 60), seven(60, 60).T.copy()))
    moving = encoded(first, save_all=True, append_images=[second])
    assert b"acTL" in moving
    assert (picture(moving, PIXELS) == picture(encoded(first), PIXELS)).all()


def test_uneven_light_and_grain_do_not_matter():
    levels = seven(140, 140).astype(float)
    light = np.linspace(1, 0.6, 140)[None]
    grain = np.random.default_rng(0).normal(0, 4, levels.shape)
    photo = (levels * 0.7 * light + 20 + grain).clip(0, 255).astype(np.uint8)
    difference = picture(png(photo), PIXELS).astype(int) - picture(png(levels.astype(np.uint8)), PIXELS)
    assert np.abs(difference).mean() < 6
