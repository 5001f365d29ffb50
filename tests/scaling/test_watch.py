import socket
import time

from scaling.watch import watched


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_head_node_that_is_gone_is_told_once_and_one_that_is_there_never(capfd):
    said = []

    def told() -> str:
        said.append(capfd.readouterr().err)
        return "".join(said)

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with watched(address, "go on with RESUME=one", seconds=0.01):
            for _ in range(5):
                server.accept()[0].close()  # it looks again and again
            assert told() == ""
            server.close()
            until(lambda: told() != "")
            time.sleep(0.1)
    text = (
        f"\nwarning: the cluster's head node, {address}, does not answer ([Errno 111] Connection refused); go on with"
    )
    assert told() == f"{text} RESUME=one\n"
