"""Serve a stage's version over HTTP.

python -m delivery.serve [--stage production] [--port 8000]

The service alone; `python -m monitoring.serve` (make serve STAGE=production) has the monitor beside it.
"""

import argparse
import dataclasses
import gc
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import uvicorn
from fastapi import FastAPI

from delivery import registry, workspace
from delivery.connection import Connection
from delivery.deployments import Deployments
from delivery.git import GitError
from delivery.reconcile import Target, reconcile
from delivery.schema import connect
from delivery.service import create_app
from delivery.settings import DeliveryParams, ServiceSettings, SettingsError, port
from delivery.slot import SlotError, Source
from digits import params
from digits.errors import PipelineError, run

# Seconds for which one of two threads may keep Python's lock while the other waits for it. The interpreter's 5 ms are
# longer than a batch takes, so the scoring thread would mostly wait.
_SWITCH_INTERVAL = 0.0005
_FAILED = 3  # exit code of a service that could not start, uvicorn's


# What runs beside a service as long as it serves, and may add routes to it before.
Beside = Callable[[FastAPI, ServiceSettings], AbstractContextManager[object]]


def main(beside: Beside = lambda _app, _settings: nullcontext()) -> None:
    """Serve until SIGTERM or Ctrl-C; what is under way by then is answered."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # also what uvicorn calls when it has closed down
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", default="production")
    parser.add_argument("--port", type=int, help="default: MNIST_PORT, then the port of the stage's address; 0: any")
    parser.add_argument("--as-placed", action="store_true", help="do not look at the tags; something else deploys")
    arguments = parser.parse_args()
    delivery = params.load(DeliveryParams, "delivery")
    settings = ServiceSettings.from_environment(arguments.stage, delivery)
    if arguments.port is not None:
        settings = dataclasses.replace(settings, port=port(str(arguments.port), "--port"))
    source = placed(settings) if arguments.as_placed else deployed(delivery, settings)
    connect(settings.log_url).dispose()  # a log that can't be opened is told now, in one line
    listening = listen(settings.host, settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"{settings.stage}: http://{host}:{listening.getsockname()[1]}", flush=True)
    app = create_app(delivery, settings, source)
    serving = server(app, delivery)
    with beside(app, settings):
        sys.setswitchinterval(_SWITCH_INTERVAL)
        gc.freeze()  # modules stay: to look through them for garbage again and again would make everybody wait
        serving.run([listening])
    if not serving.started:
        sys.exit(_FAILED)


def _end(*_: object) -> None:
    sys.exit()


def server(app: FastAPI, delivery: DeliveryParams) -> uvicorn.Server:
    """What runs the application: uvicorn, told to trust nobody."""
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="uvloop",
        ws="none",
        log_level="error",  # warnings tell of what clients get wrong, a line for each
        access_log=False,  # /metrics counts requests, and the prediction log has what was asked
        server_header=False,
        proxy_headers=False,  # who asks is who is connected, whatever a header says
        headers=[("x-content-type-options", "nosniff")],
        timeout_graceful_shutdown=int(delivery.timeout_seconds) + 1,
    )
    return uvicorn.Server(config)


def placed(settings: ServiceSettings) -> Source:
    """What is in place for the stage, or will be."""
    return Source(settings.deployments / settings.stage / "current")


def deployed(delivery: DeliveryParams, settings: ServiceSettings) -> Source:
    """What the tags assign to the stage, put in place; where nothing was ever released, the workspace's model.

    Raises:
        PipelineError, OSError: there is nothing to serve.
    """
    stage, before = settings.stage, placed(settings)
    try:
        released = bool(registry.read(".", delivery.artifact).versions)
        why = "no tag names one; `git fetch --tags` brings those of where this was cloned from"
    except GitError as error:
        if before.folder.exists():  # an image, say, beside which the reconciler runs
            return before
        released, why = False, str(error)
    except registry.RegistryError:
        released, why = True, ""  # reconciling fails for the same reason, and reports it
    if not released:
        said = f"no version of {delivery.artifact} is released here ({why})"
        bring_model(f"{stage}: {said}")
        print(f"{stage}: {said}; serving {workspace.MODEL} as it is, as version 'workspace'", flush=True)
        return Source(workspace.FOLDER, workspace=True)
    target = Target(
        stage=stage,
        artifact=delivery.artifact,
        repo=".",
        deployments=Deployments(settings.deployments / stage),
        url="",
        token=None,
        accuracy=delivery.smoke_accuracy,
        keep=delivery.keep_versions,
    )
    try:
        print(reconcile(target), flush=True)
    except (PipelineError, OSError) as error:
        if not before.folder.exists():
            raise
        print(f"error: {error}\n{stage}: serving what is in place", file=sys.stderr)
    return before


def bring_model(said: str) -> None:
    """Have DVC restore the workspace's model, if it is not there.

    Raises:
        SlotError: it can't.
    """
    if workspace.MODEL.is_file():
        return
    command = [sys.executable, "-m", "delivery.workspace"]
    answer = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        raise SlotError(f"{said}, and {answer.stderr.strip().rpartition('error: ')[2]}")


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on, before the model is loaded: who comes early waits.

    Raises:
        SettingsError: the address is not this machine's, or taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"can't listen on {host}, port {port}: {error.strerror}; choose another by MNIST_HOST, MNIST_PORT or --port"
        ) from None


if __name__ == "__main__":
    run(main)
