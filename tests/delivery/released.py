"""A small repository with released versions, made by Git alone, and a server that offers it over https."""

import contextlib
import hashlib
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import onnx
import yaml

from delivery.deployments import Deployments
from digits.storage import read_arrays, write_arrays

ROOT = Path(__file__).parents[2]
CACHED = ("models/model.onnx", "models/reference.npz", "models/smoke.npz", "results/evaluate/predictions.npz")
METRICS = "results/evaluate/metrics.json"


class Released:
    """A working tree with GTO's tags, and an embedded DVC remote that holds what its dvc.lock names."""

    def __init__(self, path: Path, outputs: Path) -> None:
        self.path, self.outputs = path, outputs  # the latter: a finished pipeline's folder
        self.assignments = 0
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        self.write(".dvc/config", (ROOT / ".dvc/config").read_bytes())
        stage = {"cmd": "python -m stages.evaluate", "outs": list(CACHED), "metrics": [{METRICS: {"cache": False}}]}
        self.write("dvc.yaml", yaml.safe_dump({"stages": {"evaluate": stage}}).encode())
        self.write("params.yaml", (ROOT / "params.yaml").read_bytes())

    def git(self, *arguments: str) -> str:
        who = {
            f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, env=os.environ | who, capture_output=True, text=True, check=True).stdout.strip()

    def write(self, name: str, content: bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def release(self, version: str, *, store: str = ".dvcstore", wrong: bool = False) -> str:
        """Commit a model of its own, push it to the remote and tag it; `wrong`: its smoke set disagrees."""
        changed = self.path / "changed"
        shutil.rmtree(changed, ignore_errors=True)
        shutil.copytree(self.outputs, changed)
        model = onnx.load(changed / "models/model.onnx")
        model.doc_string = version
        onnx.save(model, changed / "models/model.onnx")
        if wrong:
            images, labels, probabilities = read_arrays(
                changed / "models/smoke.npz", "images", "labels", "probabilities"
            )
            write_arrays(
                changed / "models/smoke.npz", images=images, labels=(labels + 1) % 10, probabilities=probabilities
            )
        outs = []
        for name in (*CACHED, METRICS):
            content = (changed / name).read_bytes()
            md5 = hashlib.md5(content).hexdigest()
            outs.append({"path": name, "hash": "md5", "md5": md5, "size": len(content)})
            self.write(METRICS if name == METRICS else f"{store}/files/md5/{md5[:2]}/{md5[2:]}", content)
        shutil.rmtree(changed)
        stages = {"evaluate": {"cmd": "python -m stages.evaluate", "outs": outs}}
        self.write("dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False).encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"release {version}")
        self.git("tag", "--annotate", f"mnist@{version}", "--message", version)
        return self.git("rev-parse", "HEAD")

    def assign(self, version: str, stage: str = "staging") -> None:
        self.assignments += 1
        self.git(
            "tag", "-a", f"mnist#{stage}#{self.assignments}", f"mnist@{version}^{{}}", "-m", f"{version} to {stage}"
        )

    def bare(self, path: Path) -> Path:
        self.git("clone", "--quiet", "--bare", ".", str(path))
        return path

    def md5(self, name: str, tag: str) -> str:
        """MD5 sum of an output as dvc.lock has it at a tag."""
        stages = yaml.safe_load(self.git("show", f"{tag}:dvc.lock"))["stages"]
        return {out["path"]: out["md5"] for out in stages["evaluate"]["outs"]}[name]


class _GitBackend(BaseHTTPRequestHandler):
    """What a Git host does: `git http-backend` behind a web server."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length", "0")
        cgi = {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": length,
        }
        body = self.rfile.read(int(length))
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=os.environ | cgi, capture_output=True, check=True
        )
        header, _, content = answer.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in header.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


def version_in(place: Deployments) -> str | None:
    """Which version is in place."""
    current = place.current()
    return current.version if current else None


@contextlib.contextmanager
def https(root: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Address of a server that offers the bare repositories in `root`, and the certificate to trust."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    subprocess.run([*made, *subject, "-keyout", key, "-out", certificate], capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_GitBackend,), {"root": root}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", certificate
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
