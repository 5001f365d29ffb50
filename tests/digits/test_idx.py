import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits.idx import IdxError, parse, parse_labelled
from tests.synthetic import archive, digits, idx

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = idx(IMAGES)


def read(content: bytes) -> np.ndarray:
    return parse(gzip.compress(content), "a.gz", (None, 3, 4))


def pair(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return parse_labelled(archive(images), archive(labels), ("images.gz", "labels.gz"), 28, 10)


def test_what_was_written_is_read():
    np.testing.assert_array_equal(read(CONTENT), IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.gz: 0 bytes, too short for an IDX header"),
        (b"\0\0\x08", "a.gz: 3 bytes, too short for an IDX header"),
        (b"\1" + CONTENT[1:], "a.gz: bad magic number 0x01000803; an IDX file starts with two zero bytes"),
        (b"\0\0\x0d\3" + CONTENT[4:], r"a.gz: values of type 0x0d; expected 0x08 \(unsigned bytes\)"),
        (idx(IMAGES[0]), "a.gz: 2 dimensions; expected 3"),
        (CONTENT[:15], "a.gz: 15 bytes, too short for the header of 3 dimensions"),
        (idx(IMAGES.reshape(2, 4, 3)), r"a.gz: shape \(2, 4, 3\): 4 instead of 3, 3 instead of 4"),
        (CONTENT[:-1], r"a.gz: 39 bytes; the header's shape \(2, 3, 4\) needs exactly 40"),
        (CONTENT + b"\0", "a.gz: 41 bytes; .* needs exactly 40"),
        (CONTENT[:4] + struct.pack(">3I", 2**32 - 1, 3, 4) + CONTENT[16:], "a.gz: 40 bytes; .* needs exactly 5153960"),
    ],
)
def test_each_violation_has_its_own_message(content, message):
    with pytest.raises(IdxError, match=f"^{message}"):
        read(content)


@pytest.mark.parametrize("length", [1, 5, 12, 30, -9, -4, -1])
def test_truncated_gzip_is_refused(length):
    with pytest.raises(IdxError, match=r"^a.gz: not a whole gzip file \("):
        parse(gzip.compress(CONTENT)[:length], "a.gz", (None, 3, 4))


def test_damaged_gzip_is_refused():
    damaged = bytearray(gzip.compress(CONTENT))
    damaged[-6] ^= 1  # in the checksum
    with pytest.raises(IdxError, match="not a whole gzip file"):
        parse(bytes(damaged), "a.gz", (None, 3, 4))


def test_uncompressed_file_is_refused():
    with pytest.raises(IdxError, match="not a whole gzip file"):
        parse(CONTENT, "a.gz", (None, 3, 4))


@given(st.binary(max_size=60))
def test_no_content_escapes_the_one_error_type(content):
    for raw in (content, gzip.compress(content), gzip.compress(b"\0\0\x08\1" + content)):
        try:
            result = parse(raw, "a.gz", (None,))
        except IdxError:
            continue
        assert result.shape == (int.from_bytes(content[:4], "big"),)


def test_images_and_labels_that_belong_together_are_read():
    data = digits(20)
    images, labels = pair(*data)
    np.testing.assert_array_equal(images, data.images)
    np.testing.assert_array_equal(labels, data.labels)


def test_different_numbers_of_images_and_labels_are_refused():
    data = digits(20)
    with pytest.raises(IdxError, match=r"^images.gz holds 20 images, but labels.gz 19 labels"):
        pair(data.images, data.labels[:-1])


def test_label_out_of_range_is_refused_with_its_position():
    data = digits(20)
    data.labels[7] = 10
    with pytest.raises(IdxError, match=r"^labels.gz: label 10 at position 7; allowed: 0 to 9"):
        pair(*data)


def test_empty_archives_are_refused():
    data = digits(10)
    with pytest.raises(IdxError, match="no labels"):
        pair(data.images[:0], data.labels[:0])
