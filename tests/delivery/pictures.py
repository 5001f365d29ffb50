"""Pictures of a 7, in every form that a picture can have, and in some that it can't."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

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
