"""What a request may hold: 28 rows of 28 whole numbers from 0 to 255, and nothing that only looks like it."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from delivery.contract import FeedbackRequest, PredictRequest

IMAGE = np.random.default_rng(0).integers(0, 256, (28, 28))
ID = "01a20deb-6a4c-7231-a6c2-a0a2cce022c3"


def with_pixel(text: str) -> str:
    """JSON of an image in whose row 3, column 4 stands `text`."""
    rows = [["0"] * 28 for _ in range(28)]
    rows[3][4] = text
    return '{"image": [' + ",".join(f"[{','.join(row)}]" for row in rows) + "]}"


def refused(text: str) -> list[tuple[tuple[int | str, ...], str]]:
    """Where it is wrong, and how."""
    with pytest.raises(ValidationError) as caught:
        PredictRequest.model_validate_json(text)
    return [(finding["loc"], finding["type"]) for finding in caught.value.errors()]


def test_pixels_arrive_as_they_were_sent():
    other = 255 - IMAGE
    one = PredictRequest.model_validate_json(json.dumps({"image": IMAGE.tolist()}))
    two = PredictRequest.model_validate_json(json.dumps({"images": [IMAGE.tolist(), other.tolist()]}))
    assert one.pictures() == [IMAGE.astype(np.uint8).tobytes()]
    assert two.pictures() == [IMAGE.astype(np.uint8).tobytes(), other.astype(np.uint8).tobytes()]


@pytest.mark.parametrize(
    "pixel",
    ["0.0", "0.5", "1e2", "1e999", "NaN", "Infinity", "-Infinity", "true", "null", '"3"', "[3]", "{}", "9" * 30],
)
def test_a_pixel_that_is_no_whole_number_is_refused_where_it_stands(pixel):
    assert {where for where, _ in refused(with_pixel(pixel))} <= {("image", 3, 4), ("image",)}


@pytest.mark.parametrize("pixel", ["-1", "256", "70000", "-9223372036854775808"])
def test_a_pixel_out_of_range_is_refused_with_its_place(pixel):
    with pytest.raises(ValidationError, match="the pixel in row 3, column 4 is below 0 or above 255"):
        PredictRequest.model_validate_json(with_pixel(pixel))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ({"image": [[0] * 28] * 27}, ("image",)),
        ({"image": [[0] * 28] * 29}, ("image",)),
        ({"image": [[0] * 28] * 27 + [[0] * 27]}, ("image", 27)),
        ({"image": [0] * 784}, ("image", 0)),
        ({"image": []}, ("image",)),
        ({"image": None}, ("image",)),
        ({"images": [[[0] * 28] * 28, [[0] * 28]]}, ("images", 1)),
        ({"images": []}, ("images",)),
        ({"images": None}, ("images",)),
        ({"images": [[[[0] * 28] * 28]]}, ("images", 0, 0, 0)),
        ({"image": [[0] * 28] * 28, "images": [[[0] * 28] * 28]}, ()),
        ({"image": [[0] * 28] * 28, "stage": "production"}, ("stage",)),
        ({}, ()),
        ([], ()),
        ("image", ()),
    ],
)
def test_what_has_another_shape_is_refused_where_it_differs(text, where):
    assert refused(json.dumps(text))[0][0] == where


@pytest.mark.parametrize(
    "text", ["", "{", '{"image"', "[" * 100_000, '{"image":' * 100_000, '"\xff', "\ufeff{}", "{}{}"]
)
def test_what_is_no_json_is_refused(text):
    assert refused(text) == [((), "json_invalid")]


def test_of_a_batch_the_first_wrong_image_is_named_and_no_other_looked_at():
    assert refused(json.dumps({"images": [[0]] * 100})) == [(("images", 0, 0), "list_type")]


@pytest.mark.parametrize("label", range(10))
def test_feedback_names_a_prediction_and_a_digit(label):
    feedback = FeedbackRequest.model_validate({"id": ID, "label": label})
    assert (feedback.id, feedback.label, feedback.source, feedback.correct) == (ID, label, "anonymous", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": 10},
        {"label": -1},
        {"label": 1.0},
        {"label": True},
        {"label": "1"},
        {"label": None},
        {"label": float("nan")},
        {"id": ID.upper()},
        {"id": ID + "\n"},
        {"id": ID.replace("-", "")},
        {"id": ""},
        {"id": 1},
        {"source": ""},
        {"source": "a b"},
        {"source": "x" * 65},
        {"source": "<script>"},
        {"correct": 1},
        {"correct": "true"},
        {"more": 1},
    ],
)
def test_feedback_of_another_form_is_refused(changes):
    with pytest.raises(ValidationError) as caught:
        FeedbackRequest.model_validate({"id": ID, "label": 1} | changes)
    assert [finding["loc"] for finding in caught.value.errors()] == [(name,) for name in changes]
