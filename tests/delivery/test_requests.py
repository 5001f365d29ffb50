"""Requests of every type become images of 784 bytes, or an answer that says what is wrong with them."""

import asyncio
import errno
import json
import tempfile

import numpy as np
import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from PIL import Image
from starlette.exceptions import HTTPException

from delivery.images import picture
from delivery.protection import TooLargeError
from delivery.requests import Reader
from tests.delivery.pictures import encoded, png, progressive, raw_png, seven
from tests.delivery.serving import PARAMS

FORM = "multipart/form-data; boundary=edge"
PICTURE = png(seven(60, 40))
PIXELS = picture(PICTURE, 10_000).tobytes()


@pytest.fixture(scope="module")
def reader():
    reader = Reader(PARAMS)
    yield reader
    reader.close()


def part(content: bytes = PICTURE, name: str = "image", file: str | None = "digit.png") -> bytes:
    """One part of a form."""
    names = f'name="{name}"' + (f'; filename="{file}"' if file is not None else "")
    return f"--edge\r\nContent-Disposition: form-data; {names}\r\n\r\n".encode() + content + b"\r\n"


END = b"--edge--\r\n"


def read(reader: Reader, content: bytes, kind: str | None, **headers: str) -> list[bytes]:
    """What a request comes to; its body arrives in two pieces."""
    fields = headers | ({"content-type": kind} if kind is not None else {})
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/predict",
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()],
        "app": None,  # in whose presence a form that is none becomes an answer
    }
    half = len(content) // 2
    messages = iter([(content[:half], True), (content[half:], False)])

    async def receive():
        body, more = next(messages)
        return {"type": "http.request", "body": body, "more_body": more}

    return asyncio.run(reader.pictures(Request(scope, receive)))


def refused(reader: Reader, content: bytes, kind: str | None, **headers: str) -> tuple[int, str]:
    """Status, and what is said."""
    with pytest.raises((HTTPException, RequestValidationError)) as caught:
        read(reader, content, kind, **headers)
    if isinstance(caught.value, RequestValidationError):
        return 422, f"{caught.value.errors()[0]['loc']} {caught.value.errors()[0]['msg']}"
    return caught.value.status_code, str(caught.value.detail)


def rows(*values: int) -> list[list[list[int]]]:
    return [[[value] * 28] * 28 for value in values]


def test_json_is_taken_as_it_is(reader):
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    assert read(reader, json.dumps({"image": image.tolist()}).encode(), "application/json") == [image.tobytes()]
    body = json.dumps({"images": rows(3, 250)}).encode()
    assert read(reader, body, "Application/JSON; charset=utf-8") == [bytes([3] * 784), bytes([250] * 784)]


def test_a_file_is_brought_to_the_form_of_mnist(reader):
    assert read(reader, PICTURE, "image/png") == [PIXELS]
    photo = encoded(Image.fromarray(seven(60, 40)).convert("RGB"), "JPEG")
    assert read(reader, photo, "image/jpeg") == [picture(photo, 10_000).tobytes()]
    assert read(reader, photo, "image/png") == [picture(photo, 10_000).tobytes()]  # what it is, not what it is called


def test_files_of_a_form_keep_their_order(reader):
    other = png(seven(40, 60))
    content = part() + part(other) + part() + END
    assert read(reader, content, FORM) == [PIXELS, picture(other, 10_000).tobytes(), PIXELS]
    assert read(reader, part() + END + b"after", FORM + "; charset=nonsense") == [PIXELS]


def test_a_large_file_of_a_form_is_not_put_on_a_disk_that_may_be_read_only(reader, monkeypatch):
    def refused(_file):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refused)
    assert read(reader, part(PICTURE + bytes(2_000_000)) + END, FORM) == [PIXELS]


def test_a_batch_of_as_many_as_are_allowed_is_read(reader):
    assert len(read(reader, json.dumps({"images": rows(*[0] * PARAMS.max_batch)}).encode(), "application/json")) == 100
    assert len(read(reader, part() * PARAMS.max_batch + END, FORM)) == 100


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/vnd+json", "image/gif", "a" * 5000, "ÿ", ";"])
def test_another_type_is_refused_with_those_that_are_read(reader, kind):
    status, said = refused(reader, b"{}", kind)
    assert status == 415
    assert "expected application/json, image/png, image/jpeg, multipart/form-data" in said


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_what_is_compressed_is_not_unpacked(reader, coding):
    said = refused(reader, b"", "application/json", content_encoding=coding)
    assert said == (415, f"content-encoding {coding}; expected none")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"images": []}', "('body', 'images') List should have at least 1 item"),
        (json.dumps({"images": rows(*[0] * 101)}).encode(), "('body', 'images') 101 images; from 1 to 100 are allowed"),
        (json.dumps({"image": [[0.5] * 28] * 28}).encode(), "('body', 'image', 0, 0) Input should be a valid integer"),
        (b"\xff\xd8", "('body',) Invalid JSON"),
        (b"{" + b",".join(b'"%d": 1' % key for key in range(200_000)) + b"}", "('body',) 200000 unknown keys"),
    ],
)
def test_json_that_holds_something_else_is_refused(reader, content, said):
    status, found = refused(reader, content, "application/json")
    assert status == 422
    assert found.startswith(said)


def test_json_is_not_read_beyond_what_a_batch_can_take(reader):
    with pytest.raises(TooLargeError, match="3276800"):
        read(reader, b" " * 3_276_801, "application/json")


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"not a picture", 422, "('body',) not a PNG or JPEG picture"),
        (b"", 422, "('body',) not a PNG or JPEG picture"),
        (PICTURE[:-1], 422, "('body',) not a PNG or JPEG picture, or a damaged one (it ends too early)"),
        (png(np.zeros((28, 28), np.uint8)), 422, "('body',) the picture is blank"),
        (raw_png(10_000, 10_000, b""), 413, "a picture of 10000 x 10000 pixels; at most 16000000 are allowed"),
        (progressive(65), 413, "a JPEG of 65 scans"),
    ],
)
def test_a_file_that_is_no_picture_is_refused(reader, content, status, said):
    found = refused(reader, content, "image/png")
    assert found[0] == status
    assert found[1].startswith(said)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (END, 422, "('body', 'image') 0 images; from 1 to 100 are allowed"),
        (b"", 422, "('body',) the form is not complete: its last boundary is missing"),
        (part() + part(), 422, "('body',) the form is not complete"),
        (part() + part(b"no picture") + END, 422, "('body', 'image', 1) not a PNG or JPEG picture"),
        (part(name="other") + END, 422, "('body',) every part of the form has to be a file named `image`"),
        (part(file=None) + END, 422, "('body',) every part of the form has to be a file named `image`"),
        (part() * 101 + END, 400, "Too many files. Maximum number of files is 100."),
        (b"--edge\r\n\r\n\r\n" + END, 400, 'The Content-Disposition header field "name" must be provided.'),
        (b"--edgy\r\n" + part() + END, 400, "Invalid multipart data."),
    ],
)
def test_a_form_of_something_else_is_refused(reader, caplog, content, status, said):
    found = refused(reader, content, FORM)
    assert found[0] == status
    assert found[1].startswith(said)
    assert caplog.records == []  # nor does it become a line in a file of ours


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=ÿ"]
)
def test_a_form_without_a_boundary_is_refused(reader, kind):
    assert refused(reader, part() + END, kind)[0] in (400, 422)


def test_the_documentation_has_the_limits(reader):
    content = reader.documentation()["content"]
    assert content["application/json"]["schema"]["properties"]["images"]["maxItems"] == PARAMS.max_batch
    assert content["multipart/form-data"]["schema"]["properties"]["image"]["maxItems"] == PARAMS.max_batch
    assert set(content) == {"application/json", "image/png", "image/jpeg", "multipart/form-data"}
