"""Pictures of images that a person should look at."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SCALE = 4  # screen pixels an image pixel
_CAPTION, _GAP, _TITLE = 42, 16, 48
_BACKGROUND, _INK, _FAINT, _WRONG = "#ffffff", "#1f2328", "#59636e", "#b3261e"


def worst_mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, rows: int = 3, columns: int = 8
) -> Image.Image:
    """Draw the misclassified images whose true class got the least probability, worst first.

    Args:
        images: uint8 (N, H, W).
        labels: true classes, (N,).
        probabilities: (N, classes).
        rows: of the grid, at most.
        columns: of the grid; fewer mistakes leave it partly empty.

    Returns:
        an RGB picture; each image carries its number in the data set, the true and the predicted class.
    """
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    order = np.argsort(probabilities[wrong, labels[wrong]], kind="stable")
    shown = wrong[order][: rows * columns]
    rows = max(1, -(-len(shown) // columns))

    size = images.shape[1] * _SCALE
    width = columns * (size + _GAP) + _GAP
    picture = Image.new("RGB", (width, _TITLE + rows * (size + _CAPTION + _GAP)), _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    title = f"{len(wrong)} mistakes in {len(labels):,} images, the {len(shown)} worst first"
    note = "true class, what the model said and how sure it was, # in the test set"
    draw.text((_GAP, 12), title, _INK, ImageFont.load_default(20))
    draw.text((width - _GAP, 16), note, _FAINT, ImageFont.load_default(15), anchor="ra")
    font, small = ImageFont.load_default(16), ImageFont.load_default(13)
    for place, index in enumerate(shown):
        left = _GAP + place % columns * (size + _GAP)
        top = _TITLE + place // columns * (size + _CAPTION + _GAP)
        tile = Image.fromarray(255 - images[index]).resize((size, size), Image.Resampling.NEAREST)
        picture.paste(tile, (left, top))
        draw.rectangle((left, top, left + size - 1, top + size - 1), outline="#d1d9e0")
        confidence = probabilities[index, predicted[index]]
        below = top + size + 4
        draw.text((left, below), f"{labels[index]}", _INK, font)
        draw.text((left + size, below), f"read as {predicted[index]}", _WRONG, font, anchor="ra")
        draw.text((left, below + 21), f"#{index}", _FAINT, small)
        draw.text((left + size, below + 21), f"{confidence:.0%}", _FAINT, small, anchor="ra")
    return picture
