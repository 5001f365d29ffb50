import errno
import functools
import hashlib
import http.server
import socket
import threading
from pathlib import Path

import pytest
from torchvision import datasets

from digits.errors import run
from digits.params import ParamsError
from stages import fetch
from tests.synthetic import write_params

CONTENT = {name: name.encode() * 1000 for name, _ in datasets.MNIST.resources}
NAME = "t10k-labels-idx1-ubyte.gz"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def nothing_but(*names: str) -> bool:
    """No other file is in data/raw, so no half-written one either."""
    return sorted(path.name for path in Path("data/raw").rglob("*") if path.is_file()) == sorted(names)


@pytest.fixture(autouse=True)
def small(workspace, monkeypatch):
    """MNIST, with other archives and without mirrors on the network."""
    monkeypatch.setattr(datasets.MNIST, "resources", [(name, md5(content)) for name, content in CONTENT.items()])
    monkeypatch.setattr(datasets.MNIST, "mirrors", [])
    monkeypatch.delenv("MNIST_MIRRORS", raising=False)


@pytest.fixture
def mirror(tmp_path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    """A mirror that announces more than it sends for addresses under /short/, and notes what it was asked for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if not self.path.startswith("/short/"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 600)
        return None

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(mirror):
    """The mirror over HTTP; its `asked` lists the paths of the requests."""
    handler = functools.partial(Handler, directory=str(mirror))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        served.asked, served.address = [], f"http://127.0.0.1:{served.server_port}"
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def one(*mirrors: str, expected: str = md5(CONTENT[NAME])) -> bytes:
    """Fetch one file from these mirrors; its content."""
    path = Path("data/raw/MNIST") / NAME
    fetch.fetch(path, expected, list(mirrors))
    return path.read_bytes()


@pytest.mark.parametrize("slash", ["", "/"])
def test_all_archives_come_from_a_folder(mirror, monkeypatch, slash):
    monkeypatch.setenv("MNIST_MIRRORS", mirror.as_uri() + slash)
    fetch.main()
    assert {path.name: path.read_bytes() for path in Path("data/raw/MNIST").iterdir()} == CONTENT


def test_all_archives_come_over_http(server, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.address])
    fetch.main()
    assert {path.name: path.read_bytes() for path in Path("data/raw/MNIST").iterdir()} == CONTENT


def test_named_mirrors_are_tried_before_torchvision_s(server, mirror, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.address])
    monkeypatch.setenv("MNIST_MIRRORS", f"{mirror.parent.as_uri()}/none  {mirror.as_uri()}")
    fetch.main()
    assert nothing_but(*CONTENT)
    assert server.asked == []


def test_whole_files_are_not_downloaded_again(server, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.address])
    fetch.main()
    server.asked.clear()
    fetch.main()
    assert server.asked == []


def test_damaged_file_alone_is_downloaded_again(server, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.address])
    fetch.main()
    server.asked.clear()
    damaged = Path("data/raw/MNIST") / NAME
    damaged.write_bytes(b"damaged")
    fetch.main()
    assert server.asked == [f"/{NAME}"]
    assert damaged.read_bytes() == CONTENT[NAME]


def test_chosen_data_set_is_fetched_and_others_are_removed(workspace, mirror, monkeypatch):
    monkeypatch.setenv("MNIST_MIRRORS", mirror.as_uri())
    fetch.main()
    Path("data/raw/stray.txt").write_text("stray")
    Path("data/raw/KMNIST").mkdir()
    write_params(workspace, data={"dataset": "KMNIST"})
    monkeypatch.setattr(datasets.KMNIST, "resources", [(NAME, md5(CONTENT[NAME]))])
    monkeypatch.setattr(datasets.KMNIST, "mirrors", [])
    fetch.main()
    assert [path.name for path in Path("data/raw").iterdir()] == ["KMNIST"]
    assert [path.name for path in Path("data/raw/KMNIST").iterdir()] == [NAME]


def test_leftovers_beside_the_archives_are_removed(mirror, monkeypatch):
    monkeypatch.setenv("MNIST_MIRRORS", mirror.as_uri())
    folder = Path("data/raw/MNIST")
    (folder / "raw").mkdir(parents=True)
    (folder / f".{NAME}.1234.part").write_bytes(b"half of")
    fetch.main()
    assert nothing_but(*CONTENT)
    assert not (folder / "raw").exists()


def test_other_data_set_stays_while_the_chosen_one_is_not_there():
    other = Path("data/raw/KMNIST/a.gz")
    other.parent.mkdir(parents=True)
    other.write_bytes(b"a")
    with pytest.raises(fetch.FetchError):
        fetch.main()
    assert other.read_bytes() == b"a"


def test_second_mirror_helps_where_the_first_fails(server, mirror):
    (mirror.parent / NAME).write_bytes(b"something else")
    assert one(mirror.parent.as_uri(), f"{server.address}/short", server.address) == CONTENT[NAME]
    assert nothing_but(NAME)


def test_wrong_checksum_is_refused(mirror):
    (mirror / NAME).write_bytes(b"something else")
    answer = f"wrong checksum: MD5 {md5(b'something else')} of 14 bytes"
    with pytest.raises(fetch.FetchError, match=answer):
        one(mirror.as_uri())
    assert nothing_but()


def test_truncated_download_is_refused(server):
    with pytest.raises(fetch.FetchError, match=f"/short/{NAME}: (truncated: 600 of 1000 bytes|IncompleteRead)"):
        one(f"{server.address}/short")
    assert nothing_but()


def test_failed_download_leaves_the_file_that_was_there(mirror):
    one(mirror.as_uri())
    with pytest.raises(fetch.FetchError):
        one(mirror.as_uri(), expected=md5(b"a newer edition"))
    assert (Path("data/raw/MNIST") / NAME).read_bytes() == CONTENT[NAME]
    assert nothing_but(NAME)


def test_message_names_the_file_the_checksum_and_each_mirror_with_its_answer(server, mirror):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        mirrors = [
            f"http://127.0.0.1:{closed.getsockname()[1]}",
            f"{server.address}/none",
            f"{mirror.as_uri()}/none",
            "no address",
        ]
        with pytest.raises(fetch.FetchError) as caught:
            one(*mirrors)
    first, *answers, last = str(caught.value).splitlines()
    assert first == f"data/raw/MNIST/{NAME}: could not be fetched with MD5 {md5(CONTENT[NAME])}. Tried:"
    expected = ["Connection refused", "HTTP Error 404: ", "No such file or directory", "unknown url type: "]
    for address, answer, reason in zip(mirrors, answers, expected, strict=True):
        assert answer.startswith(f"  {address}/{NAME}: ")
        assert reason in answer
    assert "MNIST_MIRRORS" in last
    assert "dvc pull fetch" in last
    assert nothing_but()


def test_full_disk_is_not_blamed_on_the_mirrors(mirror, monkeypatch):
    def full(address: str, path: Path, expected: str) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(fetch, "download", full)
    with pytest.raises(SystemExit, match=r"No space left on device\n  free some space"):
        run(lambda: one(mirror.as_uri(), "file:///second"))
    assert nothing_but()


def test_unknown_data_set_is_refused(workspace):
    write_params(workspace, data={"dataset": "CIFAR10"})
    with pytest.raises(ParamsError, match="expected one of MNIST, FashionMNIST, KMNIST, found 'CIFAR10'"):
        fetch.main()


def test_torchvision_names_four_archives_for_each_data_set(monkeypatch):
    monkeypatch.undo()
    for dataset in (datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST):
        assert [name for name, _ in dataset.resources] == list(CONTENT)
        assert dataset.mirrors
