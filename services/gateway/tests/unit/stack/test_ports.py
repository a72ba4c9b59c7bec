"""Ports are free ones, stay the same, and are never those that the system gives away."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.ports import free_port, is_free, kept_port
from storm_gateway.stack.workers import WorkersServer


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        yield other.getsockname()[1]


def test_ports_are_below_those_of_outgoing_connections() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        ports = {free_port() for _ in range(200)}
        assert len(ports) == 200, "a port is given once"
        assert max(ports) < probe.getsockname()[1] or max(ports) < 49_152


def test_port_in_use_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_port_whose_connections_ended_lately_is_free() -> None:
    port = free_port()
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the server's end waits for stray packets for a minute
            assert client.recv(1) == b""
    assert is_free(port)


def test_port_is_kept_in_the_folder(tmp_path: Path) -> None:
    first = NatsServer(tmp_path)
    assert NatsServer(tmp_path).port == first.port


@pytest.mark.parametrize("kept", ["", "nonsense", "0", "70000"])
def test_file_that_holds_no_port_is_written_anew(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "server.port"
    path.write_text(kept)
    port = kept_port(path)
    assert is_free(port)
    assert kept_port(path) == port


def test_kept_port_that_somebody_took_is_replaced(tmp_path: Path, taken: int) -> None:
    (tmp_path / "nats.port").write_text(str(taken))
    server = NatsServer(tmp_path)
    server.claim()
    assert server.port != taken
    assert NatsServer(tmp_path).port == server.port


def test_chosen_port_that_somebody_took_is_told(tmp_path: Path, taken: int) -> None:
    server = NatsServer(tmp_path, port=taken)
    with pytest.raises(StackError, match=f"127.0.0.1:{taken}, where nats shall listen, is in use"):
        server.start()


def test_nodes_get_ports_in_a_row(tmp_path: Path, taken: int) -> None:
    nodes = WorkersServer(tmp_path, workers=3, addr="127.0.0.1:0")
    ports = [int(addr.rpartition(":")[2]) for addr in nodes.node_addrs]
    assert ports == [ports[0], ports[0] + 1, ports[0] + 2]
    assert nodes.port not in ports
    assert nodes.environment()["STORM_NODE_ADDR"] == nodes.node_addrs[0]
    # One of them is taken: all move.
    (tmp_path / "nodes.ports").write_text(str(taken - 1))
    moved = WorkersServer(tmp_path, workers=3, addr="127.0.0.1:0")
    moved.claim()
    assert taken not in range(moved.node_port, moved.node_port + 3)


@pytest.mark.parametrize(
    ("addr", "reached"),
    [
        (":8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("127.0.0.2:8080", "127.0.0.2:8080"),
        ("[::]:8080", "[::1]:8080"),
        ("[::1]:8080", "[::1]:8080"),
    ],
)
def test_nodes_that_listen_on_all_addresses_are_reached_on_this_machine(
    tmp_path: Path, addr: str, reached: str
) -> None:
    nodes = WorkersServer(tmp_path, workers=1, addr=addr)
    assert nodes.addr == reached
    assert nodes.environment()["STORM_ADDR"] == addr


def test_too_many_ports_in_a_row_are_told() -> None:
    with pytest.raises(StackError, match="no 20000 free ports in a row"):
        free_port(count=20_000)
