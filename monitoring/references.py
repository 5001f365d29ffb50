"""The references of the versions that are deployed, each read once."""

import re
from pathlib import Path

from digits.drift_reference import FIELDS, Reference, checked
from digits.storage import read_arrays

# The prediction log says which version answered, and a name must not lead out of the folder.
_NAME = re.compile(r"\w[\w.+-]*", re.ASCII)
# As the service calls a model that was never released.
_WORKSPACE = "workspace"


class References:
    """Finds `versions/<version>/reference.npz`, where the reconciler puts it.

    Args:
        folder: `deployments/<stage>`.
        models: where the workspace's own is, which answers where nothing was released.
    """

    def __init__(self, folder: Path, models: Path = Path("models")) -> None:
        self._folder, self._models = folder, models
        self._read: dict[str, Reference] = {}

    def __call__(self, version: str) -> Reference | None:
        """A version's reference; None if it is not there, which is asked anew each time.

        Raises:
            FileError: the file is damaged.
            DriftReferenceError: it is no reference, or one of another form.
        """
        if version == _WORKSPACE:  # read anew: the next `dvc repro` makes another of the same name
            path = self._models / "reference.npz"
            return checked(str(path), *read_arrays(path, *FIELDS)) if path.is_file() else None
        if version not in self._read and _NAME.fullmatch(version):
            path = self._folder / "versions" / version / "reference.npz"
            if path.is_file():
                self._read[version] = checked(str(path), *read_arrays(path, *FIELDS))
        return self._read.get(version)
