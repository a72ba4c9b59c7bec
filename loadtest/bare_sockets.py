"""What the kernel has for a connection, whatever the server is: two sockets, each in an epoll.

    python loadtest/bare_sockets.py [connections]

Nothing of STORM. It is the least that the two ends of a connection on one machine can take
together, so it stands beside what a run of the swarm tells of the kernel. The median of three runs.
"""
# ruff: noqa: T201 this is the output

import select
import socket
import sys
import time
from contextlib import ExitStack
from statistics import median

from common.memory import kernel_memory

from storm_gateway.connections.admission import raise_file_limit

CONNECTIONS = 9_000
RUNS = 3
_OTHER_FILES = 50
_SETTLE_SECONDS = 1.0


def bytes_each(connections: int, before: int) -> float:
    """Of the kernel, for both ends of one connection, beyond what it had before."""
    with ExitStack() as open_now:
        server = open_now.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        sides = [open_now.enter_context(select.epoll()) for _ in range(2)]
        for _ in range(connections):
            ends = (socket.create_connection(server.getsockname()), server.accept()[0])
            for end, side in zip(ends, sides, strict=True):
                open_now.enter_context(end)
                side.register(end, select.EPOLLIN)
        time.sleep(_SETTLE_SECONDS)
        return (kernel_memory() - before) / connections


def main(connections: int) -> None:
    """Prints a line."""
    files = raise_file_limit()
    if 2 * connections + _OTHER_FILES > files:
        sys.exit(f"{connections:,} connections have two ends here, and {files:,} files may be open")
    # Before the first run: the kernel keeps for a while what a run has freed, for the next one.
    before = kernel_memory()
    found = [bytes_each(connections, before) for _ in range(RUNS)]
    told = ", ".join(f"{each:,.0f}" for each in found)
    print(f"{median(found):,.0f} B of the kernel for the two ends of a connection ({told})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CONNECTIONS)
