"""Whether an experiment found what its trial found, to the bit, and if not, what is known to explain it."""

import hashlib
import socket
import sys
from importlib import metadata

from scaling.experiments import ExperimentError, Measured, document, read, trained
from scaling.records import Description, Record


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


def reasons(record: Record, description: Description, commit: str) -> list[str]:
    """What is known to change results, and differs between a trial and its experiment, or may."""
    texts = []
    for package, before in description["versions"].items():
        if package == "optuna":  # which proposes, and trains nothing
            continue
        now = version(package)
        if now != before:
            texts.append(f"the sweep had {package} {before}, here it is {now}")
    lock = document(commit, "dvc.lock")["stages"]["train"]
    sums = {item["path"]: item.get("md5") for item in lock["deps"]}
    other = [path for path, checksum in description["data"].items() if sums.get(path, checksum) != checksum]
    texts += [f"{path} is not what the sweep had" for path in other]
    if description["commit"] is None:
        texts.append("the sweep ran outside of Git, so nobody knows with which code")
    else:
        code = [path for path in sums if path.endswith(".py")]
        other = [path for path in code if checksum_of(description["commit"], path) != sums[path]]
        texts += [f"{path} is not as in commit {description['commit'][:7]}, with which the sweep ran" for path in other]
    if record["node"].partition(":")[0] != socket.gethostname():  # what follows is Ray's name for it, another each time
        texts.append(f"the trial ran on {record['node']}: other last bits if that has CUDA, or one of the two no AVX2")
    _, train = trained(commit)
    if train.instructions == "native":
        texts.append("train.instructions: native computes as each processor does it best")
    return texts


def version(package: str) -> str | None:
    """Of Python or of an installed package."""
    if package == "python":
        return ".".join(map(str, sys.version_info[:3]))
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def checksum_of(commit: str, path: str) -> str | None:
    """MD5 sum of a file as a commit has it."""
    try:
        return hashlib.md5(read(commit, path), usedforsecurity=False).hexdigest()
    except ExperimentError:
        return None
