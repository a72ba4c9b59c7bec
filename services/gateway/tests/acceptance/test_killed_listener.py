"""A process that shares its address is killed: whom the kernel sends to its listener meanwhile."""

import contextlib
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from storm_gateway.connections.admission import raise_file_limit
from storm_gateway.connections.listeners import Listeners, bind

CONNECTIONS = 4_000
NODE = """
import sys
from storm_gateway.connections.admission import most_files, raise_file_limit
from storm_gateway.connections.listeners import Listeners, bind

raise_file_limit()
listeners = Listeners(bind("127.0.0.1", int(sys.argv[1]), shared=True), shared=True)
listeners.close_first(most_files(0))
listeners.service.setblocking(True)
listeners.service.listen(4096)
print("listens", flush=True)
kept = []
while True:
    kept.append(listeners.service.accept()[0])
    kept[-1].send(b"hello")
"""


@contextlib.contextmanager
def node(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Greets whoever comes, and keeps the connection."""
    command = [sys.executable, "-c", NODE, f"{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:  # noqa: S603 our own
        try:
            assert run.stdout is not None
            assert run.stdout.readline() == b"listens\n"
            yield run
        finally:
            run.kill()


def client(number: int, port: int) -> socket.socket:
    """Connects, from one of several addresses: of one alone, the ports lead to the same node."""
    made = socket.socket()
    made.bind((f"127.0.0.{2 + number % 20}", 0))
    made.connect(("127.0.0.1", port))
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="Linux closes files from the highest down")
def test_who_comes_back_while_a_killed_node_lets_its_connections_go_is_not_reset() -> None:
    raise_file_limit()
    with contextlib.ExitStack() as end:
        keeper = end.enter_context(bind("127.0.0.1", 0, shared=True))
        port = keeper.getsockname()[1]
        dying = end.enter_context(node(port))
        looked = end.enter_context(selectors.DefaultSelector())
        for number in range(CONNECTIONS):
            made = end.enter_context(client(number, port))
            assert made.recv(5) == b"hello"
            looked.register(made, selectors.EVENT_READ)
        end.enter_context(node(port))
        dying.send_signal(signal.SIGKILL)
        came_back: list[socket.socket] = []
        while len(came_back) < CONNECTIONS:
            ready = looked.select(30)
            assert ready
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                looked.unregister(key.fileobj)
                key.fileobj.close()
                came_back.append(end.enter_context(client(len(came_back), port)))
        for made in came_back:
            made.settimeout(30)
            assert made.recv(5) == b"hello"  # from the other one: no ConnectionResetError


def test_only_a_shared_listener_gets_a_high_number_and_it_stays_the_same_listener() -> None:
    with bind("127.0.0.1", 0) as alone, bind("127.0.0.1", 0, shared=True) as shared:
        one = Listeners(alone)
        one.close_first(900)
        assert one.service is alone
        name = shared.getsockname()
        several = Listeners(shared, shared=True)
        several.close_first(900)
        with several.service as high:
            assert high.fileno() >= 900
            assert high.getsockname() == name
            assert high.gettimeout() == 0
            assert not high.get_inheritable()
            assert shared.fileno() == -1


def test_without_a_free_number_so_high_the_listener_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storm_gateway.connections.listeners._HIGHEST_FILE", 10**9)
    with bind("127.0.0.1", 0, shared=True) as shared:
        listeners = Listeners(shared, shared=True)
        listeners.close_first(10**9)
        assert listeners.service is shared
        assert shared.fileno() >= 0
