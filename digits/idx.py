"""The IDX format of the MNIST family, read strictly.

An IDX file starts with two zero bytes, a type byte, the number of dimensions and one big-endian 32-bit size for each,
and goes on with exactly the product of the sizes in values (http://yann.lecun.com/exdb/mnist/, "the IDX file format").
"""

import gzip
import math
import struct
import zlib

import numpy as np

from digits.errors import PipelineError

_UINT8 = 0x08


class IdxError(PipelineError):
    """A file breaks the IDX format, or holds something other than what was asked for."""


def parse(archive: bytes, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Unpack and parse one gzip-compressed IDX file of unsigned bytes.

    Args:
        archive: content of the .gz file.
        name: file name for messages.
        shape: expected size of each dimension; None where any size will do.

    Returns:
        uint8 array of that shape.

    Raises:
        IdxError: what in the file is wrong: compression, magic, type, dimensions, size.
    """
    try:
        content = gzip.decompress(archive)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise IdxError(f"{name}: not a whole gzip file ({error})") from None
    if len(content) < 4:
        raise IdxError(f"{name}: {len(content)} bytes, too short for an IDX header")
    if content[:2] != b"\0\0":
        raise IdxError(f"{name}: bad magic number 0x{content[:4].hex()}; an IDX file starts with two zero bytes")
    kind, dimensions = content[2], content[3]
    if kind != _UINT8:
        raise IdxError(f"{name}: values of type 0x{kind:02x}; expected 0x{_UINT8:02x} (unsigned bytes)")
    if dimensions != len(shape):
        raise IdxError(f"{name}: {dimensions} dimensions; expected {len(shape)}")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise IdxError(f"{name}: {len(content)} bytes, too short for the header of {dimensions} dimensions")
    sizes = struct.unpack_from(f">{dimensions}I", content, 4)
    wrong = [f"{size} instead of {want}" for size, want in zip(sizes, shape, strict=True) if want not in (None, size)]
    if wrong:
        raise IdxError(f"{name}: shape {sizes}: {', '.join(wrong)}")
    expected = header + math.prod(sizes)
    if len(content) != expected:
        raise IdxError(f"{name}: {len(content)} bytes; the header's shape {sizes} needs exactly {expected}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)


def parse_labelled(
    images: bytes, labels: bytes, names: tuple[str, str], size: int, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Parse a pair of archives that belong together.

    Args:
        images: content of the .gz file with the images.
        labels: content of the .gz file with the labels.
        names: their file names, for messages.
        size: height and width of an image in pixels.
        classes: number of classes; labels are 0 to classes - 1.

    Returns:
        images uint8 (N, size, size) and labels uint8 (N,).

    Raises:
        IdxError: either file is broken, they differ in length, are empty, or a label is out of range.
    """
    pixels = parse(images, names[0], (None, size, size))
    targets = parse(labels, names[1], (None,))
    if len(pixels) != len(targets):
        raise IdxError(f"{names[0]} holds {len(pixels)} images, but {names[1]} {len(targets)} labels")
    if len(targets) == 0:
        raise IdxError(f"{names[1]}: no labels")
    if targets.max() >= classes:
        position = int(np.argmax(targets >= classes))
        raise IdxError(f"{names[1]}: label {targets[position]} at position {position}; allowed: 0 to {classes - 1}")
    return pixels, targets
