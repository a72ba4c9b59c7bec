"""Addresses that the nodes of one supervisor listen on, one after another or all at once."""

import os
import socket
from typing import Self

from storm_gateway.connections.listeners import bind, name_of


class Address:
    """A host and port, kept for the life of the supervisor.

    A bound socket that never listens keeps it: no other program gets the port while a node
    restarts, and port 0 becomes one free port for all nodes. The kernel sends connections only to
    sockets that listen, so those go to living nodes alone.
    """

    def __init__(self, host: str, port: int) -> None:
        """Raises ``OSError`` when another program listens there."""
        try:
            if port:
                _refuse_company(host, port)
            self._keeper = bind(host, port, shared=True)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {why}") from None
        self._host = host
        self.port = int(self._keeper.getsockname()[1])
        self.name = name_of(self._keeper)

    def listener(self) -> socket.socket:
        """One more bound socket, for one node."""
        return bind(self._host, self.port, shared=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.close()


def _refuse_company(host: str, port: int) -> None:
    # SO_REUSEPORT alone would silently share the port with another supervisor of the same user.
    with bind(host, port) as probe:
        probe.listen(1)
