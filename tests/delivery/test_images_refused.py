"""What is no picture of a digit is refused with a reason, whatever it is; and nothing else ever happens."""

import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from delivery.images import PictureError, PictureSizeError, grey, picture, scans
from tests.delivery.pictures import PIXELS, SEEDS, assert_in_form, chunk, encoded, png, progressive, raw_png, seven
from tests.delivery.serving import PARAMS as DELIVERY
from tests.delivery.serving import ROOT


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


def test_the_largest_picture_that_is_allowed_takes_little_memory(tmp_path):
    """In a process of its own: decoded, and once more while it is reduced."""
    side = int(DELIVERY.max_picture_pixels**0.5)
    drawing = Image.new("RGBA", (side, side), "white")
    drawing.paste("black", (side // 2, side // 4, side // 2 + 200, 3 * side // 4))
    (tmp_path / "large.png").write_bytes(encoded(drawing))
    script = f"""
import resource
from pathlib import Path
from delivery.images import picture
content, most = Path("large.png").read_bytes(), {side * side}
rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = rss()
picture(content, most)
print(rss() - before)
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert len((tmp_path / "large.png").read_bytes()) < 200_000
    assert int(answer.stdout) < 2.4 * 4 * side * side


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
