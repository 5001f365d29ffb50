import errno
import os
import re

import pytest

from digits.errors import PipelineError, run


def failing(error: BaseException):
    def main() -> None:
        raise error

    return main


def test_success_is_silent(capsys):
    run(lambda: None)
    assert capsys.readouterr() == ("", "")


def test_pipeline_error_is_one_message():
    with pytest.raises(SystemExit, match=r"^error: do this next$"):
        run(failing(PipelineError("do this next")))


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "mounted read-only"),
        (errno.EACCES, "check the permissions"),
        (errno.ENOENT, "`dvc repro`"),
    ],
)
def test_system_error_says_where_and_what_to_do(number, advice):
    text = re.escape(f"error: models/a.bin: {os.strerror(number)}\n  ")
    with pytest.raises(SystemExit, match=f"^{text}.*{re.escape(advice)}"):
        run(failing(OSError(number, os.strerror(number), "models/a.bin")))


def test_system_error_without_a_file_name_names_none():
    with pytest.raises(SystemExit, match=r"^error: disk full\n"):
        run(failing(OSError(errno.ENOSPC, "disk full")))


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), KeyboardInterrupt(), OSError(errno.EIO, "broken"), OSError("?")]
)
def test_unknown_errors_keep_their_traceback(error):
    with pytest.raises(type(error)) as caught:
        run(failing(error))
    assert caught.value is error
