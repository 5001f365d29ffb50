"""Serve a stage's version over HTTP.

python -m delivery.serve [--stage production] [--port 8000]    (make serve STAGE=production)
"""

import argparse
import dataclasses
import socket

import uvicorn

from delivery.connection import Connection
from delivery.service import create_app
from delivery.settings import DeliveryParams, ServiceSettings, SettingsError
from delivery.slot import Source
from digits import params
from digits.errors import run


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; what is under way by then is answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", default="production")
    parser.add_argument("--port", type=int, help="default: MNIST_PORT, then the port of the stage's address; 0: any")
    arguments = parser.parse_args()
    delivery = params.load(DeliveryParams, "delivery")
    settings = ServiceSettings.from_environment(arguments.stage, delivery)
    if arguments.port is not None:
        settings = dataclasses.replace(settings, port=arguments.port)
    config = uvicorn.Config(
        create_app(delivery, settings, Source.of(settings)),
        http=Connection,
        loop="uvloop",
        ws="none",
        log_level="warning",
        access_log=False,  # /metrics counts requests, and the prediction log has what was asked
        server_header=False,
        headers=[("x-content-type-options", "nosniff")],
        timeout_graceful_shutdown=int(delivery.timeout_seconds) + 1,
    )
    listening = listen(settings.host, settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"serving stage {settings.stage} on http://{host}:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run([listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on, before the model is loaded: who comes early waits.

    Raises:
        SettingsError: the address is not this machine's, or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"can't listen on {host}, port {port}: {error.strerror}; choose another in MNIST_HOST, MNIST_PORT or --port"
        ) from None


if __name__ == "__main__":
    run(main)
