"""Ports that servers on this machine may take."""

import contextlib
import random
import socket
from pathlib import Path

from storm_gateway.stack.errors import StackError

_LOWEST = 10_240
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DYNAMIC = 49_152
"""IANA: from here on, a system takes ports for outgoing connections (Linux from lower ones)."""
_TRIES = 200


_given: set[int] = set()
"""What this process chose already: between the choice and the server's start, a port looks free."""


def free_port(host: str = "127.0.0.1", count: int = 1) -> int:
    """A port that nobody listens on now; with ``count``, the first of so many in a row.

    Not one of those that the system gives to outgoing connections: while a server is away, one of
    them could take its port, and a client that tries it again and again could even end up
    connected to itself.
    """
    for _ in range(_TRIES):
        first = random.randrange(_LOWEST, _highest() - count)  # noqa: S311 no secret
        ports = range(first, first + count)
        if _given.isdisjoint(ports) and all(is_free(port, host) for port in ports):
            _given.update(ports)
            return first
    if count > 1:
        raise StackError(f"there are no {count} free ports in a row on {host}")
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now. Connections that ended lately do not count."""
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Bound alone says little: Linux lets several bind, and only one of them listen.
            probe.listen(1)
        except OSError:
            return False
    return True


def kept_port(path: Path, host: str = "127.0.0.1", count: int = 1) -> int:
    """The port that stands in a file, else a free one that is then written there."""
    with contextlib.suppress(OSError, ValueError):
        port = int(path.read_text())
        if 0 < port < 65_536:
            return port
    return new_port(path, host, count)


def new_port(path: Path, host: str = "127.0.0.1", count: int = 1) -> int:
    """A free port (``count``: the first of so many), written into a file. Raises
    :class:`StackError`.
    """
    port = free_port(host, count)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(f"{port}\n")
    return port


def _highest() -> int:
    try:
        first = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = _DYNAMIC
    # Machines tuned for many connections give nearly all ports to outgoing ones.
    return first if first > _LOWEST + 1_000 else _DYNAMIC


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
