"""What a version has to show before it may go from one stage into the next.

Each condition answers with a Finding, met or not, in words that are kept in the assignment's tag.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from delivery import artifact, client
from delivery.registry import Version
from digits.errors import PipelineError
from digits.significance import mcnemar
from digits.storage import FileError, read_arrays


@dataclasses.dataclass(frozen=True)
class Finding:
    """What came of looking at one condition."""

    met: bool
    text: str  # one line


def served(version: Version, stage: str, url: str) -> Finding:
    """Whether the service of `stage` answers with this version, which passed its smoke test there."""
    start = f"start it with `make serve STAGE={stage}`"
    deploy = f"deploy it with `make deploy STAGE={stage}`"
    try:
        answer = client.ready(url)
    except PipelineError as error:
        return Finding(False, f"{stage} does not answer: {error}; {start}")
    if answer is None:
        return Finding(False, f"{stage} does not answer: nothing listens at {url}; {start}")
    if answer["ready"] is not True:
        return Finding(False, f"{stage} is not ready: {answer.get('reason')}; {deploy}")
    if answer.get("stage") != stage:
        return Finding(False, f"{url} is the service of {answer.get('stage')!r}, not of {stage}; {start}")
    if (answer.get("version"), answer.get("commit")) != (version.name, version.commit):
        return Finding(False, f"{stage} serves {answer.get('version')!r}, not {version.name}; {deploy}")
    smoke = answer.get("smoke")
    smoke = smoke if isinstance(smoke, dict) else {}
    counts = f"{smoke.get('right')} of {smoke.get('images')} images right"
    if smoke.get("passed") is not True:
        return Finding(False, f"{version.name} has not passed its smoke test in {stage} ({counts})")
    return Finding(True, f"{version.name} is served in {stage}, smoke test {counts}")


def not_worse(version: Version, current: Version | None, margin: float, significance: float) -> Finding:
    """Whether a version is as good as the current one, or worse by no more than `margin` or chance explains.

    Args:
        version: the challenger.
        current: what it would replace; None passes.
        margin: accuracy points that it may be worse by, whatever a test says.
        significance: of McNemar's test, paired by test image, beyond the margin.
    """
    if current is None:
        return Finding(True, "nothing to be compared with: the stage is empty")
    try:
        before, after = _answers(current), _answers(version)
    except PipelineError as error:
        return Finding(False, f"{version.name} can't be compared with {current.name}: {error}")
    if not np.array_equal(before[0], after[0]):
        return Finding(False, f"{version.name} and {current.name} can't be compared: not the same test images")
    paired = mcnemar(before[0] == before[1], after[0] == after[1])
    images = len(after[0])
    points = 100 * (paired.gained - paired.lost) / images
    facts = (
        f"{version.name} against {current.name}: {points:+.2f} accuracy points ({paired.gained} of {images:,} images "
        f"newly right, {paired.lost} newly wrong; McNemar, p = {paired.p_value:.2g})"
    )
    if -points <= margin:
        return Finding(True, facts)
    if paired.p_value >= significance:
        return Finding(True, f"{facts}, within noise")
    return Finding(False, f"{facts}: worse, by more than chance and than delivery.margin ({margin:g})")


def _answers(version: Version) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class of each test image, both (N,), as evaluate stored them for a version.

    Raises:
        PipelineError: they are not to be had, or are something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        artifact.fetch(".", version.tag, Path(folder), [artifact.PREDICTIONS])
        labels, predicted = read_arrays(Path(folder) / Path(artifact.PREDICTIONS).name, "labels", "predicted")
    if labels.ndim != 1 or labels.shape != predicted.shape or not labels.size:
        raise FileError(f"{artifact.PREDICTIONS} of {version.name}: {labels.shape} labels, {predicted.shape} answers")
    return labels, predicted
