"""Bring the workspace's model out of the DVC remote, as dvc.lock names it, where nothing was released.

python -m delivery.workspace    (`make serve` calls it; a process of its own, since a service never loads DVC)
"""

from pathlib import Path

from digits.errors import PipelineError, run

FOLDER = Path("models")
MODEL = FOLDER / "model.onnx"
FILES = (MODEL, FOLDER / "smoke.npz", FOLDER / "reference.npz")


class WorkspaceError(PipelineError):
    """The workspace's model is not to be had."""


def main() -> None:
    """Pull the files that serving and watching need."""
    from dvc.exceptions import DvcException  # noqa: PLC0415, takes a second
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        # An archive has no history, without which `dvc pull` would not even begin.
        with Repo(config={"core": {"no_scm": True}}) as project:
            project.pull(targets=[str(path) for path in FILES])
    except DvcException as error:
        raise WorkspaceError(
            f"{MODEL} can't be brought from the DVC remote ({' '.join(str(error).split())}); mend the remote in "
            f".dvc/config, or train one with `make repro`, in a clone"
        ) from None


if __name__ == "__main__":
    run(main)
