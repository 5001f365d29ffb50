"""Kill a reconciliation before each thing that it does to its folder, to its children or to the service.

python -m tests.delivery.crashes FOLDER    says what was left each time, and what the next run made of it, as JSON

A process of its own, without threads, because each reconciliation is forked from it.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from delivery import client, reconcile, registry
from delivery.deployments import Deployments
from delivery.reconcile import DeployError, Target
from delivery.registry import Version

# What happens before Python does it. Besides these, what the stand-ins below announce.
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.utime"}
BAD, REFUSED, DAMAGED = "v0.3.0", "v0.4.0", "v0.5.0"  # fails its smoke test; refused by the service; damaged on disk

# Versions that were assigned one after the other; the last one's reconciliation is killed.
SCENARIOS = {
    "the first version": ["v0.1.0"],
    "another version": ["v0.0.1", "v0.1.0", "v0.2.0"],
    "a version that is there, but damaged": ["v0.1.0", DAMAGED, "v0.1.0", DAMAGED],
    "back to the last one": ["v0.1.0", "v0.2.0", "v0.1.0"],
    "a version that fails its smoke test": ["v0.1.0", BAD],
    "a version that is refused": ["v0.1.0", REFUSED],
    "a first version that is refused": [REFUSED],
}


class World:
    """Repository, DVC and service, as far as a reconciliation sees them; the service's state is a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.assigned = folder, "v0.0.0"
        self.served = folder / "served"
        self.place = Deployments(folder / "staging")
        self.target = Target("staging", "mnist", "repository", self.place, "http://stand-in", None, 0.9, 2)
        os.fsync = lambda _: None  # what is killed loses nothing that it has written
        registry.current = lambda *_: version(self.assigned)
        client.ready, client.reload = self.ready, self.reload
        reconcile._Attempt._child = lambda _, *arguments: self.child(*arguments)

    def child(self, module: str, *arguments: str) -> str:
        sys.audit("stand-in", module)
        if module == "delivery.smoke":
            if (Path(arguments[0]) / "model.onnx").read_text() == BAD:
                raise DeployError("the smoke test failed")
            return "{}"
        name, to = arguments[0].partition("@")[2], Path(arguments[-1])
        (to / "model.onnx").write_text(name)
        (to / "smoke.npz").write_text("smoke")
        files = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in to.iterdir()}
        return json.dumps({"commit": version(name).commit, "files": files, "seconds": {"git": 0.1}})

    def ready(self, _url: str) -> dict[str, object]:
        sys.audit("stand-in", "ready")
        name = self.served.read_text() if self.served.exists() else ""
        return {"ready": bool(name), "version": name, "commit": version(name).commit, "stage": "staging"}

    def reload(self, _url: str, _token: str | None) -> None:
        sys.audit("stand-in", "reload")
        name = (self.place.folder / "current/model.onnx").read_text()
        if name == REFUSED:
            raise client.ServiceError("refused")
        descriptor = os.open(self.served, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(descriptor, name.encode())

    def run(self, name: str, killed_at: int | None = None) -> bool:
        """Reconcile in a process of its own; with `killed_at`, until its so manieth deed. Was it killed?"""
        self.assigned = name
        child = os.fork()
        if not child:
            if killed_at is not None:
                sys.addaudithook(Killer(self.folder, killed_at))
            try:
                reconcile.reconcile(self.target)
            except Exception:
                os._exit(1)
            os._exit(0)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def state(self) -> dict[str, object]:
        current = self.place.current()
        whole = current is not None and self.place.whole(current.version, current.commit)
        listed = [path.relative_to(self.place.folder).as_posix() for path in self.place.folder.rglob("*")]
        return {
            "current": current.version if whole else None if current is None else "not whole",
            "served": self.served.read_text() if self.served.exists() else None,
            "status": self.place.status(),
            "remains": [name for name in listed if "/." in f"/{name}"],
            "versions": sorted(path.name for path in (self.place.folder / "versions").glob("v*")),
        }


@dataclasses.dataclass
class Killer:
    """An audit hook that ends the process before the event that is the one to many."""

    folder: Path
    left: int

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "stand-in" or (event in EVENTS and self.changes(event, arguments)):
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1

    def changes(self, event: str, arguments: tuple[object, ...]) -> bool:
        if event in ("os.remove", "os.rmdir"):  # a tree's by names without folders
            return True
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return False
        return any(str(self.folder) in str(argument) for argument in arguments)


def version(name: str) -> Version:
    commit = hashlib.sha1(name.encode()).hexdigest()
    return Version(name, commit, f"mnist@{name}", datetime.now(UTC), "somebody", "")


def main() -> None:
    top, found = Path(sys.argv[1]), {}
    for scenario, assigned in SCENARIOS.items():
        before = top / "before"
        shutil.rmtree(before, ignore_errors=True)
        before.mkdir()
        for name in assigned[:-1]:
            World(before).run(name)
            if name == DAMAGED:
                (before / f"staging/versions/{name}/model.onnx").write_text("damaged")
        found[scenario] = []
        killed = True
        while killed:
            work = top / "work"
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(before, work, symlinks=True)
            world = World(work)
            killed = world.run(assigned[-1], killed_at=len(found[scenario]))
            left = world.state()
            world.run(assigned[-1])
            found[scenario].append({"left": left, "then": world.state()})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
