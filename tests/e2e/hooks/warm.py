"""Stages that need torch, in copies of a process that has imported it: to import it takes longer than what they do.

`python -m stages.train` and `python -m stages.export` are handed over to such a process, if one listens at WARM: their
folder, environment and streams. What is imported of the project is what lies in that folder, as ever, and whoever
started the command waits for it, gets its exit code, and ends it by ending the command.

    python warm.py ADDRESS    listens there, until nothing comes from standard input any more
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from pathlib import Path

# What the two import, much of it only while they run. A name that is gone costs time alone.
IMPORTED = (
    "torch",
    "torch._dynamo",
    "torch._functorch.aot_autograd",
    "torch.export._trace",
    "torch.onnx._internal.exporter._core",
    "torch.onnx._internal.exporter._torchlib.ops",
    "onnxscript.function_libs.torch_lib.ops",
    "onnxscript.rewriter.onnx_fusions",
    "networkx",
    "onnx",
    "safetensors.torch",
    "tqdm",
    "yaml",
)


def hand_over() -> None:
    """Have this process's command carried out, and end as it does; return if nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.connect(os.environ["WARM"])
        except OSError:
            return
        work = {"module": sys.orig_argv[2], "folder": str(Path.cwd()), "environment": dict(os.environ)}
        socket.send_fds(connection, [json.dumps(work).encode()], [0, 1, 2])
        code = int(connection.recv(10) or 1)
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def serve(address: str) -> socket.socket:
    """Carry out what is handed over. Returns in a copy of this process alone, with the connection to who asked."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    asked, copies = select.poll(), {}
    asked.register(listener, select.POLLIN)
    asked.register(0, select.POLLIN | select.POLLHUP)
    while True:
        for ready, _ in asked.poll():
            if ready == 0:
                os._exit(0)
            elif ready == listener.fileno():
                connection, _ = listener.accept()
                copy = os.fork()
                if copy == 0:
                    listener.close()
                    return connection
                descriptor = os.pidfd_open(copy)
                copies[descriptor] = copy, connection
                asked.register(descriptor, select.POLLIN)
            else:
                asked.unregister(ready)
                copy, connection = copies.pop(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
                with contextlib.suppress(OSError), connection:  # who asked may be gone
                    connection.send(str(code).encode())
                os.close(ready)


def carry_out(connection: socket.socket) -> None:
    """Become what was asked for."""
    content, descriptors, *_ = socket.recv_fds(connection, 1_000_000, 3)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    work = json.loads(content)
    os.environ.clear()
    os.environ.update(work["environment"])
    os.chdir(work["folder"])
    sys.path[0] = work["folder"]
    del sys.argv[1:]
    runpy.run_module(work["module"], run_name="__main__", alter_sys=True)


def _end_with(connection: socket.socket) -> None:
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.modules["pandas"] = None  # as stages.train hides it
    importlib.import_module("dvclive.live")
    del sys.modules["pandas"]
    gc.freeze()
    carry_out(serve(sys.argv[1]))
