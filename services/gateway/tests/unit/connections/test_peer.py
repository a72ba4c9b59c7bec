"""The address at the other end of a connection, asked without leaving anything behind."""

import asyncio
import socket
from typing import Any

import pytest

from storm_gateway.connections.front import peer_of


class Transport(asyncio.BaseTransport):
    """Of this socket."""

    def __init__(self, own: socket.socket | None) -> None:
        super().__init__()
        self.own = own

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.own if name == "socket" else default


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_peer_is_known_and_the_connection_goes_on(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"{host} is no address of this machine")
    with server as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        own, _ = listener.accept()
        with client, own:
            assert peer_of(Transport(own)) == host
            client.sendall(b"still here")
            assert own.recv(20) == b"still here"


def test_who_is_gone_has_no_address() -> None:
    unconnected, closed = socket.socket(), socket.socket()
    closed.close()
    with unconnected:
        assert peer_of(Transport(unconnected)) == ""
    assert peer_of(Transport(closed)) == ""
    assert peer_of(Transport(None)) == ""
