"""The reconciler: what the tags assign to a stage is put in place, and its service told. Nothing else deploys.

python -m delivery.deploy --stage staging [--watch] [--repo https://...] [--to folder] [--url '']
(make deploy STAGE=staging)
"""

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from delivery import client, registry
from delivery.deployments import Deployments
from delivery.reconcile import Target, answers, reconcile
from delivery.settings import DeliveryParams, SettingsError
from digits import params
from digits.errors import PipelineError, run

PATIENCE = 300.0  # seconds between two attempts at what fails again and again, at most


def main() -> None:
    """Reconcile once, or until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--repo", default=".", help="working tree, bare clone or an address that `git clone` takes")
    parser.add_argument("--to", help="where deployed versions lie; default: MNIST_DEPLOYMENTS, then deployments")
    parser.add_argument("--url", help="of the service; '' if there is none to tell; default: that of params.yaml")
    parser.add_argument("--watch", action="store_true", help="go on, and deploy what is assigned from now on, too")
    parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS", help="between two looks at the tags")
    arguments = parser.parse_args()
    settings = params.load(DeliveryParams, "delivery")
    if arguments.stage not in settings.stages:
        raise SettingsError(
            f"stage {arguments.stage!r} is none of params.yaml's delivery.stages: {', '.join(settings.stages)}"
        )
    to = arguments.to or os.environ.get("MNIST_DEPLOYMENTS") or "deployments"
    target = Target(
        stage=arguments.stage,
        artifact=settings.artifact,
        repo=arguments.repo,
        deployments=Deployments(Path(to) / arguments.stage),
        url=settings.stages[arguments.stage].url if arguments.url is None else arguments.url,
        token=os.environ.get("MNIST_ADMIN_TOKEN") or None,
        accuracy=settings.smoke_accuracy,
        keep=settings.keep_versions,
    )
    if arguments.watch:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        watch(target, arguments.interval, stop)
    else:
        print(reconcile(target), flush=True)


def watch(target: Target, interval: float, stop: threading.Event) -> None:
    """Reconcile whenever the tags change or the service answers with another version, until `stop` is set.

    What fails is tried again, each time after twice as long, and at once when the tags change.
    """
    print(f"{target.stage}: watching {target.repo}, every {interval:g} s", flush=True)
    settled: str | None = ""  # unlike any, also unlike those of a repository that can't be reached
    failures, next_try = 0, 0.0
    while not stop.is_set():
        try:
            tags = registry.fingerprint(target.repo)
        except (PipelineError, OSError):
            tags = None  # reconciling fails for the same reason, and reports it
        try:
            due = time.monotonic() >= next_try if failures else not _served_as_placed(target)
            if tags != settled or due:
                settled = tags
                print(reconcile(target), flush=True)
                failures = 0
        except Exception as error:
            if isinstance(error, PipelineError | OSError):
                print(f"error: {error}", file=sys.stderr, flush=True)
            else:
                traceback.print_exc()
            failures += 1
            next_try = time.monotonic() + min(interval * 2**failures, PATIENCE)
        stop.wait(interval)
    print(f"{target.stage}: no longer watching", flush=True)


def _served_as_placed(target: Target) -> bool:
    current = target.deployments.current()
    try:
        answer = client.ready(target.url) if target.url else None
    except client.ServiceError:
        return False
    return current is not None and (answer is None or answers(answer, current.version, current.commit))


if __name__ == "__main__":
    run(main)
