"""Whether an experiment found what its trial found, to the bit, and if not, what is known to explain it."""

import socket

from scaling import device
from scaling.experiments import ExperimentError, Measured, checksum_of, dependencies, git, read, trained
from scaling.nodes import PACKAGES, digest_of, versions
from scaling.records import Description, Record

_TRIES = ("scaling/settings.py", "scaling/trial.py")  # what trains a trial, beside what `train` depends on
_ROUNDING = 0.01  # of validation accuracy, by another device: as much as by another seed, for the smallest networks
_COMPUTE = ("python", "torch", "numpy")  # the other packages that a sweep names bring about no bit of a result


def differences(record: Record, found: Measured) -> list[str]:
    """What the run measured otherwise than the trial."""
    texts = []
    if record["parameters"] != found.parameters:
        texts.append(f"{found.parameters:,} parameters, not {record['parameters']:,}")
    if record["validation_accuracy"] != found.validation_accuracy:
        texts.append(f"validation accuracy {found.validation_accuracy}, not {record['validation_accuracy']}")
    elif tuple(record["curve"]) != found.curve:
        texts.append(f"on the way {list(found.curve)}, not {record['curve']}")
    if record["loss"] != found.loss:  # accuracies count images, and may be equal where the weights are not
        texts.append(f"training loss {found.loss}, not {record['loss']}")
    return texts


def reasons(record: Record, description: Description, commit: str, found: Measured) -> list[str]:
    """What is known to change results, and differs between a trial and its experiment, or may."""
    had, here = description["versions"], versions()
    texts = [
        f"the sweep had {name} {had[name]}, here it is {here[name]}"
        for name in _COMPUTE
        if had.get(name, here[name]) != here[name]
    ]
    sums = dependencies(commit)
    other = [path for path, checksum in description["data"].items() if sums.get(path, checksum) != checksum]
    texts += [f"{path} is not what the sweep had" for path in other]
    begun = description["commit"]
    if begun and exists(begun) and digest_of(sources(begun)) == description["code"]:
        # It ran with what is committed, so it is known which files a training depends on, and which only show results.
        code = [path for path in (*sums, *_TRIES) if path.endswith(".py")]
        other = [path for path in code if checksum_of(begun, path) != checksum_of(commit, path)]
        texts += [f"{path} is not as in commit {begun[:7]}, with which the sweep ran" for path in other]
    elif digest_of(sources(commit)) != description["code"]:
        texts.append(f"{', '.join(PACKAGES)} are not the code that the sweep ran with")
    apart = abs((record["validation_accuracy"] or 0.0) - found.validation_accuracy)
    if record["parameters"] != found.parameters or apart > _ROUNDING:
        return texts  # which no device explains
    _, train = trained(commit)
    if record["device"] != (ours := device.here(train)):
        texts.append(f"the trial computed with {record['device']}, here it is {ours}")
    # After the colon comes Ray's name for the node, another one each time.
    if train.instructions == "native" and record["node"].partition(":")[0] != socket.gethostname():
        texts.append("train.instructions: native computes as each processor does it best")
    return texts


def sources(commit: str) -> dict[str, bytes]:
    """Our packages' sources as a commit has them, by path."""
    paths = git("ls-tree", "-r", "-z", "--name-only", commit, "--", *PACKAGES).decode().split("\0")
    return {path: read(commit, path) for path in paths if path.endswith(".py")}


def exists(commit: str) -> bool:
    """Whether the repository has a commit."""
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}")
    except ExperimentError:
        return False
    return True
