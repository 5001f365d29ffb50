"""Any picture of a digit comes out in MNIST's form, or is refused with a reason; and nothing else ever happens."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from delivery.images import PictureError, PictureSizeError, grey, ink, normalised, picture, scans

PIXELS = 1_000_000


def seven(height: int, width: int) -> np.ndarray:
    """A 7 in black on white: a bar, and a slanted stroke that is darkest where it is thickest."""
    rows, columns = np.mgrid[0:height, 0:width] / [[[max(height - 1, 1)]], [[max(width - 1, 1)]]]
    bar = (abs(rows - 0.25) < 0.06) & (abs(columns - 0.5) < 0.25)
    stroke = (abs(columns - 0.75 + (rows - 0.25) * 0.6) < 0.06) & (rows > 0.2) & (rows < 0.8)
    return np.where(bar | stroke, 0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def png(levels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(levels))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def raw_png(width: int, height: int, pixels: bytes, depth: int = 8, colours: int = 0) -> bytes:
    """A PNG by hand, which may say what is not so."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def progressive(passes: int) -> bytes:
    """A JPEG of 8 x 8 pixels over which a decoder goes so often."""

    def segment(marker: int, content: bytes) -> bytes:
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content

    tables = segment(0xDB, bytes([0] + [1] * 64)) + segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 1) + b"\x01\x11\x00")
    one_code = bytes([1] + [0] * 15)
    codes = segment(0xC4, b"\x00" + one_code + b"\x00") + segment(0xC4, b"\x10" + one_code + b"\x00")
    first = segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + b"\x7f"
    again = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + b"\x7f"
    return b"\xff\xd8" + tables + codes + first + again * (passes - 1) + b"\xff\xd9"


def assert_in_form(image: np.ndarray) -> None:
    """As MNIST's authors describe theirs."""
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    assert image.max() >= 254
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 20


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


@pytest.mark.parametrize(
    "levels",
    [
        np.zeros((28, 28), np.uint8),
        np.full((1, 1), 255, np.uint8),
        np.full((300, 2), 7, np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.full((28, 28), 65535, np.uint16),
    ],
    ids=["black", "one pixel", "narrow", "transparent", "16 bits"],
)
def test_a_blank_picture_is_refused(levels):
    with pytest.raises(PictureError, match="the picture is blank: nothing stands out from its border"):
        picture(png(levels), PIXELS)


@pytest.mark.parametrize("size", [(1, 900_000), (900_000, 1), (2, 400_000)])
def test_extreme_shapes_are_blank_or_come_out_in_the_form(size):
    levels = np.full(size, 255, np.uint8)
    levels[size[0] // 3 : size[0] // 2 + 1, size[1] // 3 : size[1] // 2 + 1] = 0
    try:
        assert_in_form(picture(png(levels), PIXELS))
    except PictureError as error:
        assert "blank" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xd9",
        b"GIF89a" + bytes(100),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\0" * 1000,
        encoded(Image.fromarray(seven(30, 30)), "BMP"),
        encoded(Image.fromarray(seven(30, 30)), "WEBP"),
        raw_png(0, 5, b""),
        raw_png(5, 0, b""),
        raw_png(30, 30, b"\x00" * 10),
        raw_png(30, 30, b"\x09" * 31 * 30),
        raw_png(30, 30, b"", depth=3),
    ],
)
def test_what_is_no_png_or_jpeg_is_refused(content):
    with pytest.raises(PictureError, match="not a PNG or JPEG picture, or a damaged one") as caught:
        picture(content, PIXELS)
    assert not isinstance(caught.value, PictureSizeError)
    assert " 0x" not in str(caught.value)  # where in our memory it was


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_picture_is_refused_wherever_it_ends(kind):
    content = encoded(Image.fromarray(seven(60, 60)), kind)
    for end in (*range(0, len(content), 37), *range(len(content) - 30, len(content))):
        with pytest.raises(PictureError, match="damaged"):
            picture(content[:end], PIXELS)


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (1001, 1000)])
def test_a_decompression_bomb_is_refused_by_its_header(size):
    """Nothing of it is decoded: after the header nothing follows but an empty piece of data."""
    with pytest.raises(PictureSizeError, match=f"{size[0]} x {size[1]} pixels; at most 1000000 are allowed"):
        picture(raw_png(*size, b""), PIXELS)


def test_a_bomb_in_a_remark_is_not_unpacked():
    remark = chunk(b"zTXt", b"note\x00\x00" + zlib.compress(bytes(10_000_000)))
    end = chunk(b"IEND", b"")
    content = png(seven(30, 30)).replace(end, remark + end)
    with pytest.raises(PictureError, match="too large"):
        picture(content, PIXELS)


def test_a_jpeg_that_would_be_gone_over_a_thousand_times_is_refused():
    """Each time costs as much as the first, of a file that need be only a few bytes longer."""
    assert scans(progressive(64)) == 64
    assert grey(progressive(64), PIXELS).shape == (8, 8)
    with pytest.raises(PictureSizeError, match="a JPEG of 1000 scans; at most 64 are allowed"):
        picture(progressive(1000), PIXELS)


def test_what_a_jpeg_carries_along_is_no_scan_of_it():
    image = Image.fromarray(seven(64, 64)).convert("RGB")
    assert scans(encoded(image, "JPEG")) == 1
    assert scans(encoded(image, "JPEG", restart_marker_blocks=1)) == 1
    assert 5 < scans(encoded(image, "JPEG", progressive=True)) < 15
    assert scans(encoded(image, "JPEG", comment=b"\xff\xda" * 1000) + b"\xff\xda" * 1000) == 1


SEEDS = [
    encoded(Image.fromarray(seven(20, 24)).convert("RGB").convert(mode), kind, **options)
    for kind, mode, options in (
        ("PNG", "1", {}),
        ("PNG", "P", {"transparency": b"\x00\x80\xff"}),
        ("PNG", "RGBA", {}),
        ("PNG", "L", {"save_all": True, "append_images": [Image.fromarray(seven(20, 24))]}),
        (
            "JPEG",
            "RGB",
            {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"},
        ),
        ("JPEG", "L", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("MPO", "RGB", {"save_all": True, "append_images": [Image.fromarray(seven(20, 24))]}),
    )
]


def with_right_sums(content: bytearray) -> bytearray:
    """A PNG whose pieces have the checksums that they should have, so that a decoder goes on past them."""
    place = 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return content


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 6)), max_size=8)
)
def test_a_changed_picture_is_read_or_refused(seed, changes):
    """Bytes replaced, put in and taken out, anywhere: a picture, or a reason."""
    content = bytearray(seed)
    for where, new, gone in changes:
        place = int(where * len(content))
        content[place : place + gone] = new
    if seed.startswith(b"\x89PNG"):
        content = with_right_sums(content)
    try:
        assert_in_form(picture(bytes(content), PIXELS))
    except PictureError as error:
        assert str(error)  # noqa: PT017
