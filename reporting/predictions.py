"""What a model answered to each test image, from wherever its file is: workspace, cache, Git or the DVC remote."""

import hashlib
import io
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from digits.scoring import confusion_matrix
from reporting.revisions import Reader, Snapshot, workspace

PATH = "results/evaluate/predictions.npz"
CACHE = ".dvc/cache/files/md5"
EMBEDDED = ".dvcstore/files/md5"
SECONDS = 300  # after which a DVC remote does not answer any more
_MOST_CLASSES = 100

# In a process of its own: DVC takes a second to import, and is needed only where nothing nearer has the file.
_ASK_DVC = (
    "import sys, dvc.api; "
    "sys.stdout.buffer.write(dvc.api.read(sys.argv[1], rev=sys.argv[2] or None, mode='rb', encoding=None))"
)


class Predictions(NamedTuple):
    """True and predicted class of each test image, both (N,)."""

    labels: np.ndarray
    predicted: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether each image was classified right, bool (N,)."""
        right: np.ndarray = self.labels == self.predicted
        return right

    def confusion(self, classes: int) -> np.ndarray:
        """Counts (classes, classes): row is the true class, column the predicted one."""
        return confusion_matrix(self.labels, self.predicted, classes)


def find(snapshot: Snapshot, read: Reader, commit: str | None) -> Predictions | None:
    """Predictions that belong to a snapshot, or None where no place has them.

    Args:
        snapshot: whose dvc.lock names the file's MD5 sum.
        read: reader of the files that Git tracks at the same revision, among them those of the embedded remote.
        commit: the revision, or None for the workspace.
    """
    checksum = snapshot.checksum(PATH)
    if commit is None and (content := workspace(PATH)) is not None:
        return parse(content)  # whatever dvc.lock says: this is what evaluate wrote last
    if checksum is None:
        return None
    for content in _places(checksum, read, commit):
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == checksum:
            return parse(content)
    return None


def _places(checksum: str, read: Reader, commit: str | None) -> Iterator[bytes]:
    """What each place has under this name, the cheapest first."""
    name = f"{checksum[:2]}/{checksum[2:]}"
    for reader, store in ((workspace, CACHE), (workspace, EMBEDDED), (read, EMBEDDED)):
        if (content := reader(f"{store}/{name}")) is not None:
            yield content
    command = [sys.executable, "-c", _ASK_DVC, PATH, commit or ""]
    try:
        answer = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return
    if answer.returncode == 0:
        yield answer.stdout


def parse(content: bytes) -> Predictions | None:
    """Predictions from the bytes of their .npz, or None where these are something else. No code is loaded."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            labels, predicted = archive["labels"], archive["predicted"]
    except (ValueError, KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile, zlib.error):
        return None
    for array in (labels, predicted):
        if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size or array.shape != labels.shape:
            return None
        if array.min() < 0 or array.max() >= _MOST_CLASSES:
            return None
    return Predictions(labels, predicted)
