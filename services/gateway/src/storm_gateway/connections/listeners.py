"""The sockets that a node listens on: the address of the service, and one of its own."""

import asyncio
import contextlib
import select
import socket
import sys
import time
from dataclasses import dataclass

_NOT_SENT_LOWAT = 128 * 1024
"""Bytes of a slow client that wait in the kernel; the rest waits in our outbox, where it is
counted, shared and dropped by its kind. Accepted connections inherit it."""
_ACCEPT_SECONDS = 0.5
_HIGHEST_FILE = 65_000
"""The kernel and the event loop have a table as long as the highest number: 8 bytes for each."""


@dataclass
class Listeners:
    """Bound sockets. ``own`` is the node's second address, if it has one.

    ``shared``: other nodes listen on the address of the service too, with sockets of their own
    (``SO_REUSEPORT``): the kernel spreads new connections over all that listen.
    """

    service: socket.socket
    own: socket.socket | None = None
    shared: bool = False

    @property
    def all(self) -> list[socket.socket]:
        return [self.service] if self.own is None else [self.service, self.own]

    def close(self) -> None:
        for listener in self.all:
            listener.close()

    def close_first(self, files: int) -> None:
        """If this process is killed, its shared listener shall go before its connections.

        Linux then closes files from the highest number down, and with many connections that takes
        a second. Their clients come back meanwhile, and whom the kernel hands to the listener of
        the dead process, it resets in the end. So it gets a number above those of ``files`` others.
        """
        if not self.shared or sys.platform == "win32":
            return
        import fcntl

        low = self.service
        # Without such a number (a low limit on files) it is as it was.
        with contextlib.suppress(OSError):
            high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, min(files, _HIGHEST_FILE))
            self.service = socket.socket(fileno=high)
            self.service.setblocking(False)
            low.close()


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket at this address that does not listen yet. ``shared``: others with the same wish may
    bind there too. Raises ``OSError`` when the address is taken or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_LOWAT)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def name_of(listener: socket.socket) -> str:
    """Its address, as host:port."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def accept_waiting(listener: socket.socket, seconds: float = _ACCEPT_SECONDS) -> None:
    """Let the event loop accept what waits at a listener that is about to close: the kernel resets
    what is still in its queue then. Bounded: more may come as long as it is open.
    """
    queue = select.poll()
    queue.register(listener, select.POLLIN)
    end = time.monotonic() + seconds
    while queue.poll(0) and time.monotonic() < end:  # noqa: ASYNC110 the kernel tells nobody
        await asyncio.sleep(0)  # the loop accepts meanwhile
