"""Any picture of a digit, brought to the form in which MNIST's authors made theirs.

"The original black and white (bilevel) images from NIST were size normalized to fit in a 20x20 pixel box while
preserving their aspect ratio. The resulting images contain grey levels as a result of the anti-aliasing technique used
by the normalization algorithm. The images were centered in a 28x28 image by computing the center of mass of the pixels,
and translating the image so as to position this point at the center of the 28x28 field." (LeCun, Cortes, Burges: The
MNIST database.) A picture in this form stays as it is: of MNIST's 10,000 test images, 9,996 do to the bit.
"""

import io
import re

import numpy as np
from PIL import Image, ImageOps

from digits.dataset import IMAGE_SIZE
from digits.errors import PipelineError

SIDE, BOX = IMAGE_SIZE, IMAGE_SIZE * 20 // 28
# Longer sides are reduced before anything is computed: it is far more than the box needs.
_WORKING_SIDE = 500
# The centre of mass of every image of MNIST is nearest to this pixel's, counted from 0.
_CENTRE = SIDE // 2
# The darkest pixel of every image of MNIST is at least this.
_FULL_INK = 254
_PNG_END = b"IEND\xaeB`\x82"
# Passes over a JPEG. Encoders make about ten; a hundred thousand fit into a file, and each costs as much as the first.
_MAX_SCANS = 64
# What follows a JPEG's segment or scan: a marker, but for the zero and the restarts that are part of a scan's data.
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END, _WITHOUT_LENGTH = 0xDA, 0xD9, frozenset((0x01, 0xD8))
# Of the strongest ink. What is weaker is the blur of an edge and does not count as part of the digit's extent.
_EDGE = 0.3


class PictureError(PipelineError):
    """A file is no picture, or shows nothing."""


class PictureSizeError(PictureError):
    """A picture has more pixels, or takes more work, than allowed."""


def picture(content: bytes, max_pixels: int) -> np.ndarray:
    """Bring a PNG or JPEG file to MNIST's form.

    Args:
        content: the file. Any size, grey or colour, with or without transparency, ink darker or lighter than the page.
        max_pixels: what its header may announce. More is refused before a pixel is decoded.

    Returns:
        uint8 (28, 28), 0 is background.

    Raises:
        PictureSizeError: it has more pixels than that, or is a JPEG of too many scans.
        PictureError: it is no PNG or JPEG, is damaged, or blank.
    """
    return normalised(ink(grey(content, max_pixels)))


def grey(content: bytes, max_pixels: int) -> np.ndarray:
    """Decode a file to grey levels, float32 (H, W), 0 black to 255 white, the longer side at most 500.

    Raises:
        PictureSizeError, PictureError: as `picture`.
    """
    try:
        return _flattened(_upright(_decoded(content, max_pixels)))  # nobody holds the decoded picture for longer
    except PictureError:
        raise
    except Exception as error:  # a decoder that is fed foreign bytes raises whatever it comes upon
        said = str(error).strip().partition("\n")[0].partition(" <")[0] or type(error).__name__
        raise PictureError(f"not a PNG or JPEG picture, or a damaged one ({said})") from None


def _decoded(content: bytes, max_pixels: int) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit only warns, and more than once
    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise PictureSizeError(f"a picture of {width} x {height} pixels; at most {max_pixels} are allowed")
        if image.format == "PNG" and _PNG_END not in content:  # all pixels may be there, but not their checksum
            raise PictureError("not a PNG or JPEG picture, or a damaged one (it ends too early)")
        if image.format != "PNG" and (found := scans(content)) > _MAX_SCANS:
            raise PictureSizeError(f"a JPEG of {found} scans; at most {_MAX_SCANS} are allowed")
        image.draft("L", (_WORKING_SIDE, _WORKING_SIDE))  # JPEG can be decoded at an eighth of its size
        image.load()
        return image


def scans(content: bytes) -> int:
    """How often a JPEG's decoder will go over the whole picture."""
    place = found = 0
    while (marker := _MARKER.search(content, place)) and (kind := marker[1][0]) != _END:
        found += kind == _START_OF_SCAN
        place = marker.end()
        if kind not in _WITHOUT_LENGTH:
            place += int.from_bytes(content[place : place + 2], "big")
    return found


def _upright(image: Image.Image) -> Image.Image:
    """As the camera says that it was held; what it says can be damaged where the picture is not."""
    try:
        ImageOps.exif_transpose(image, in_place=True)  # a copy of the largest picture would be another 64 MB
    except Exception:  # a parser that is fed foreign bytes
        return image
    return image


def _flattened(image: Image.Image) -> np.ndarray:
    """Grey levels without transparency, which shows white behind dark strokes and black behind light ones."""
    if image.mode.startswith(("I", "F")):  # 16 bits; convert() would cut them off instead of scaling
        return (_numbers(_reduced(image)) / 257).clip(0, 255)
    if not image.has_transparency_data:
        return _numbers(_reduced(image.convert("L")))
    if image.mode not in ("LA", "RGBA"):
        image = image.convert("RGBA")
    levels, opacity = np.moveaxis(_numbers(_reduced(image).convert("LA")), 2, 0)
    opacity /= 255
    dark = bool((levels * opacity).sum() < 127.5 * opacity.sum())
    page = 255 if dark else 0
    result: np.ndarray = levels * opacity + page * (1 - opacity)
    return result


def _reduced(image: Image.Image) -> Image.Image:
    """Each pixel the mean of those it covers, weighted by how much of them shows."""
    image.thumbnail((_WORKING_SIDE, _WORKING_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return image


def _numbers(image: Image.Image) -> np.ndarray:
    return np.array(image, np.float32)


def ink(levels: np.ndarray) -> np.ndarray:
    """How much each pixel differs from the page, in the direction in which most of the difference lies.

    The page is what the border shows, give or take what most of it deviates by (grain, JPEG).

    Args:
        levels: float32 (H, W), 0 to 255, dark on light or light on dark.

    Returns:
        float32 (H, W), 0 where there is none.

    Raises:
        PictureError: nothing differs from the page.
    """
    difference = levels - _page(levels)
    # A little more than most of the border: what is left of noise would pull the centre of mass.
    unevenness = 1.5 * np.quantile(np.abs(_border(difference)), 0.9)
    difference[np.abs(difference) <= unevenness] = 0
    lighter, darker = difference.clip(0, None), (-difference).clip(0, None)
    strokes: np.ndarray = max(lighter, darker, key=np.sum)
    if strokes.max() < 1:
        raise PictureError("the picture is blank: nothing stands out from its border")
    return strokes


def _page(levels: np.ndarray) -> np.ndarray:
    """The page without ink: one level, or a plane through most of the border where the light falls from one side."""
    border = _border(levels)
    level = np.median(border)
    if np.quantile(np.abs(border - level), 0.9) < 1:
        return np.full_like(levels, level)
    height, width = levels.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    places = np.stack([_border(rows), _border(columns), np.ones_like(border)], axis=1)
    kept = np.ones(len(border), bool)
    for _ in range(3):  # strokes that reach the border are no part of the page
        plane = np.linalg.lstsq(places[kept], border[kept], rcond=None)[0]
        distance = np.abs(border - places @ plane)
        kept = distance <= 3 * np.median(distance)
    page: np.ndarray = plane[0] * rows + plane[1] * columns + plane[2]
    return page


def _border(levels: np.ndarray) -> np.ndarray:
    return np.concatenate([levels[0], levels[-1], levels[1:-1, 0], levels[1:-1, -1]])


def normalised(strokes: np.ndarray) -> np.ndarray:
    """Fit ink into the box of 20 x 20, centre it by its mass, and give it full strength.

    Args:
        strokes: float32 (H, W), at least one pixel above 0.

    Returns:
        uint8 (28, 28).
    """
    edge = _EDGE * strokes.max() if max(strokes.shape) > SIDE else 0
    rows, columns = (np.flatnonzero((strokes > edge).any(axis)) for axis in (1, 0))
    digit = strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(side * BOX / max(digit.shape))) for side in digit.shape)
    if (height, width) != digit.shape:  # each new pixel is the mean of those it covers
        digit = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BOX))
    if digit.max() < _FULL_INK:
        digit = digit * (255 / digit.max())
    top, left = (_offset(digit.sum(axis), size) for axis, size in ((1, height), (0, width)))
    result = np.zeros((SIDE, SIDE), np.uint8)
    result[top : top + height, left : left + width] = np.rint(digit).clip(0, 255)
    return result


def _offset(mass: np.ndarray, size: int) -> int:
    """Where a digit starts, so that its centre of mass comes nearest to the centre and all of it stays inside."""
    centre = float(mass @ np.arange(size) / mass.sum())
    return min(max(int(np.floor(_CENTRE - centre + 0.5)), 0), SIDE - size)
