"""The references of the versions that are deployed, each read once."""

import re
from pathlib import Path

from digits.drift_reference import FIELDS, Reference, checked
from digits.storage import read_arrays

# The prediction log says which version answered, and a name must not lead out of the folder.
_NAME = re.compile(r"\w[\w.+-]*", re.ASCII)


class References:
    """Finds `versions/<version>/reference.npz`, where the reconciler puts it.

    Args:
        folder: `deployments/<stage>`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Reference] = {}

    def __call__(self, version: str) -> Reference | None:
        """A version's reference; None if it is not there, which is asked anew each time.

        Raises:
            FileError: the file is damaged.
            DriftReferenceError: it is no reference, or one of another form.
        """
        if version not in self._read and _NAME.fullmatch(version):
            path = self._folder / "versions" / version / "reference.npz"
            if path.is_file():
                self._read[version] = checked(str(path), *read_arrays(path, *FIELDS))
        return self._read.get(version)
