"""Start the image as it is run in production, beside a stage's deployed version, and ask it for the smoke set.

python -m delivery.container --stage staging [--image mnist] [--version v0.1.0] [--engine podman]
(make check-image STAGE=staging)
"""

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from delivery import client
from delivery.deployments import Deployed, Deployments
from delivery.reconcile import answers
from delivery.settings import DeliveryParams
from delivery.smoke import smoke_test
from digits import params
from digits.errors import PipelineError, run

START_SECONDS = 60.0
# Neither files nor rights but those that the service needs.
_CONFINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=10001:10001")


class ContainerError(PipelineError):
    """The image can't be started, or what it serves is not the version."""


def main() -> None:
    """Check the image; says what it has served."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--image", default="mnist")
    parser.add_argument(
        "--version", help="that is expected; where the stage has another by now, there is nothing to do"
    )
    parser.add_argument("--engine", default="docker", help="podman, for example")
    arguments = parser.parse_args()
    to = Path(os.environ.get("MNIST_DEPLOYMENTS") or "deployments").resolve()
    place = Deployments(to / arguments.stage)
    deployed = place.current()
    if deployed is None:
        raise ContainerError(
            f"{place.folder}: no version is in place; `make deploy STAGE={arguments.stage}` brings one"
        )
    if arguments.version not in (None, deployed.version):
        print(f"{arguments.stage} is assigned {deployed.version} by now, and {arguments.version} is past")
        return
    accuracy = params.load(DeliveryParams, "delivery").smoke_accuracy
    with started(arguments.engine, arguments.image, to, arguments.stage) as url:
        answer = wait(url, deployed)
        result = smoke_test(client.Served(url, deployed.version), place.path(deployed.version) / "smoke.npz", accuracy)
    if not result.passed:
        raise ContainerError(f"{arguments.image}: the smoke test failed: {result.reason}")
    print(f"{arguments.image} serves {answer['version']} of {arguments.stage}: {result.right} of {result.images} right")


@contextlib.contextmanager
def started(engine: str, image: str, to: Path, stage: str) -> Iterator[str]:
    """A container that runs meanwhile; its address. Where something fails, its log is shown.

    Args:
        engine: docker, or what takes the same arguments.
        image: to run.
        to: where deployed versions lie.
        stage: of which the container serves the current one.

    Raises:
        ContainerError: the engine fails.
    """
    # The service asks for one wherever it can be reached from elsewhere, as in a container it has to be.
    token = os.environ | {"MNIST_ADMIN_TOKEN": secrets.token_urlsafe()}
    beside = (f"--volume={to}:/app/deployments:ro", "--publish=127.0.0.1::8000", "--env=MNIST_ADMIN_TOKEN")
    name = _engine(engine, "run", "--detach", *_CONFINED, *beside, image, "--stage", stage, env=token).strip()
    try:
        published = _engine(engine, "port", name, "8000").split()
        yield f"http://{published[0]}"
    except BaseException:
        with contextlib.suppress(ContainerError):
            print(_engine(engine, "logs", name), file=sys.stderr)
        raise
    finally:
        _engine(engine, "rm", "--force", "--volumes", name)


def wait(url: str, deployed: Deployed) -> dict[str, object]:
    """What the service says once it is ready.

    Raises:
        ContainerError: it does not become so, or with another version.
    """
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            answer = client.ready(url) or {"reason": "nothing listens yet"}
        except client.ServiceError as error:  # an engine takes connections before the service does
            answer = {"reason": str(error)}
        if answers(answer, deployed.version, deployed.commit):
            return answer
        if time.monotonic() > until or answer.get("ready"):
            said = answer.get("reason") or f"{answer.get('version')} of commit {answer.get('commit')}"
            raise ContainerError(f"the service does not come to serve {deployed.version}: {said}")
        time.sleep(0.1)


def _engine(engine: str, command: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    try:
        answer = subprocess.run([engine, command, *arguments], env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ContainerError(f"{engine}: not found; install it, or name another one with --engine") from None
    if answer.returncode:
        raise ContainerError(f"`{engine} {command}` failed: {answer.stderr.strip() or answer.stdout.strip()}")
    return answer.stdout + (answer.stderr if command == "logs" else "")


if __name__ == "__main__":
    run(main)
