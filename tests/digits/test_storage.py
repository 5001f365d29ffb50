import errno
import io
import json
import math
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from digits.storage import (
    FileError,
    read_arrays,
    read_json,
    replacing,
    write_arrays,
    write_bytes,
    write_json,
    write_text,
)

ARRAYS = {"images": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": np.array([1.5, math.inf])}


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("sprung"),)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_content_is_written_into_folders_that_are_made():
    write_bytes(Path("a/b/c.bin"), b"new")
    assert Path("a/b/c.bin").read_bytes() == b"new"
    assert [path.name for path in Path("a/b").iterdir()] == ["c.bin"]


def test_content_replaces_what_was_there():
    write_bytes(Path("c.bin"), b"old and longer")
    write_bytes(Path("c.bin"), b"new")
    assert Path("c.bin").read_bytes() == b"new"


def run_out_of_space(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half of a new")
        raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("before", [["old"], []])
def test_failed_write_leaves_what_was_there_and_nothing_else(before):
    for content in before:
        write_text(Path("c.txt"), content)
    with pytest.raises(OSError, match="full"):
        run_out_of_space(Path("c.txt"))
    assert [path.read_text() for path in Path().iterdir()] == before


def test_write_that_fails_without_a_name_is_given_the_file_s():
    with pytest.raises(OSError, match="full") as caught:
        run_out_of_space(Path("a/c.txt"))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "a/c.txt")


def test_name_that_an_error_has_already_is_kept():
    def read_another() -> None:
        with replacing(Path("c.txt")):
            Path("none.txt").read_bytes()

    with pytest.raises(FileNotFoundError) as caught:
        read_another()
    assert caught.value.filename == "none.txt"


def test_old_content_is_there_until_the_new_is_whole():
    write_text(Path("c.txt"), "old")
    with replacing(Path("c.txt")) as temporary:
        temporary.write_text("half")
        assert Path("c.txt").read_text() == "old"
        temporary.write_text("new")
    assert Path("c.txt").read_text() == "new"


def test_leftover_of_a_killed_process_does_no_harm():
    with replacing(Path("c.txt")) as temporary:
        temporary.write_text("a")
    temporary.write_text("left behind by a killed process")
    write_text(Path("c.txt"), "b")
    assert list(Path().iterdir()) == [Path("c.txt")]
    assert Path("c.txt").read_text() == "b"


def test_text_is_utf8_with_unix_line_ends():
    write_text(Path("c.txt"), "ä\n")
    assert Path("c.txt").read_bytes() == b"\xc3\xa4\n"


def test_json_comes_back():
    write_json(Path("c.json"), {"a": [1, 2.5, None]})
    assert read_json(Path("c.json")) == {"a": [1, 2.5, None]}
    assert Path("c.json").read_text().endswith("}\n")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_number_that_json_has_not_is_refused_before_anything_is_written(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(Path("c.json"), {"loss": number})
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_file_that_is_no_json_is_named(content):
    Path("c.json").write_bytes(content)
    with pytest.raises(FileError, match=r"^c\.json: not valid JSON: .*; run `dvc repro`"):
        read_json(Path("c.json"))


def test_arrays_come_back():
    write_arrays(Path("c.npz"), **ARRAYS)
    labels, images = read_arrays(Path("c.npz"), "labels", "images")
    np.testing.assert_array_equal(images, ARRAYS["images"])
    np.testing.assert_array_equal(labels, ARRAYS["labels"])
    assert (images.dtype, labels.dtype) == (np.uint8, np.float64)


def test_arrays_have_the_same_bytes_at_another_time(monkeypatch):
    write_arrays(Path("a.npz"), **ARRAYS)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    write_arrays(Path("b.npz"), **ARRAYS)
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()
    assert zipfile.ZipFile("b.npz").infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_bytes_do_not_depend_on_the_layout_in_memory():
    write_arrays(Path("a.npz"), images=ARRAYS["images"])
    write_arrays(Path("b.npz"), images=np.asfortranarray(ARRAYS["images"]))
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()


def test_arrays_are_compressed():
    write_arrays(Path("c.npz"), images=np.zeros(100_000, np.uint8))
    assert Path("c.npz").stat().st_size < 2000


def refused() -> None:
    with pytest.raises(FileError, match=r"^c\.npz: not an archive with the arrays images .*`dvc pull` or `dvc repro`"):
        read_arrays(Path("c.npz"), "images")


def test_pickled_objects_are_refused_and_not_run():
    np.savez("c.npz", images=np.array([Trap()], object))
    refused()
    assert not Path("sprung").exists()


def test_pickle_under_the_name_of_an_archive_is_refused_and_not_run():
    Path("c.npz").write_bytes(pickle.dumps(Trap()))
    refused()
    assert not Path("sprung").exists()


def test_pickled_objects_are_not_written():
    with pytest.raises(ValueError, match=r"[Oo]bject arrays cannot be saved"):
        write_arrays(Path("c.npz"), images=np.array([Trap()], object))
    assert list(Path().iterdir()) == []


def test_array_that_is_missing_is_refused():
    write_arrays(Path("c.npz"), labels=ARRAYS["labels"])
    refused()


def test_single_array_is_no_archive():
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS["images"])
    Path("c.npz").write_bytes(buffer.getvalue())
    refused()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and nothing more", b"no archive at all"])
def test_file_that_is_no_archive_is_refused(content):
    Path("c.npz").write_bytes(content)
    refused()


@pytest.mark.parametrize("position", range(20, 400, 20))
def test_damage_anywhere_is_found_or_harmless(position):
    write_arrays(Path("c.npz"), images=np.arange(256, dtype=np.uint8))
    content = bytearray(Path("c.npz").read_bytes())
    content[position] ^= 0xFF
    Path("c.npz").write_bytes(content)
    try:
        (images,) = read_arrays(Path("c.npz"), "images")
    except FileError:
        return
    np.testing.assert_array_equal(images, np.arange(256))


def test_missing_file_is_an_error_of_the_system():
    with pytest.raises(FileNotFoundError) as caught:
        read_arrays(Path("none.npz"), "images")
    assert caught.value.filename == "none.npz"


def test_written_json_is_plain_json():
    write_json(Path("c.json"), {"b": 1, "a": 2})
    assert json.loads(Path("c.json").read_text()) == {"b": 1, "a": 2}
    assert list(json.loads(Path("c.json").read_text())) == ["b", "a"]
