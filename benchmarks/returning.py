"""Where the clients of a dead node return, by how many addresses they connect from.

    python benchmarks/returning.py [connections of a process]

Bare sockets, nothing of STORM: the nodes of a machine are listeners that share a port, and Linux
gives each connection to one of them by a hash of the client's address and port. One listener is
closed, its connections are reset, and their clients connect again. A client from few addresses has
few ports to choose from, so it often takes the very ones that became free: and these have hashes
that are close together, which all lead to the same one or two of the others.
"""
# ruff: noqa: T201 this is the output

import ipaddress
import select
import socket
import struct
import sys
from collections import Counter
from statistics import median

from storm_gateway.connections.admission import raise_file_limit

LISTENERS = 7
ADDRESSES = (1, 2, 8, 20)
RUNS = 3
CONNECTIONS = 8_500
_OTHER_FILES = 200
_RESET = struct.pack("ii", 1, 0)
"""For ``SO_LINGER``: no ``TIME_WAIT`` stays, as if the process had been killed."""

Held = dict[tuple[str, int], tuple[int, socket.socket, socket.socket]]
"""The client's address and port → the number of its listener, and both ends."""


def listen(port: int) -> socket.socket:
    """One of those that share a port; 0 chooses one."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(16)
    return listener


def connect(listeners: dict[int, socket.socket], address: str, held: Held) -> tuple[str, int]:
    """From a port that the kernel chooses. Gives what it is held by."""
    client = socket.socket()
    client.bind((address, 0))
    client.connect(next(iter(listeners.values())).getsockname())
    (ready,), _, _ = select.select(list(listeners.values()), (), (), 5)
    number = next(number for number, each in listeners.items() if each is ready)
    server, _ = ready.accept()
    who: tuple[str, int] = client.getsockname()
    for end in (client, server):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    held[who] = (number, client, server)
    return who


def end(held: Held, who: tuple[str, int]) -> None:
    """Both ends, without a trace."""
    for each in held.pop(who)[1:]:
        each.close()


def run(connections: int, sources: list[str], dead: int) -> tuple[float, float]:
    """The share of those that took a port again that one of them had left; and those whom the
    fullest listener got, of the mean.
    """
    first = listen(0)
    listeners = {0: first}
    for number in range(1, LISTENERS):
        listeners[number] = listen(first.getsockname()[1])
    held: Held = {}
    for number in range(connections):
        connect(listeners, sources[number % len(sources)], held)
    left = [who for who, (number, _, _) in held.items() if number == dead]
    listeners.pop(dead).close()
    for who in left:
        end(held, who)
    back = [connect(listeners, address, held) for address, _ in left]
    got = Counter(held[who][0] for who in back)
    for who in list(held):
        end(held, who)
    for listener in listeners.values():
        listener.close()
    fullest = max(got.values()) * (LISTENERS - 1) / len(back)
    return len(set(back) & set(left)) / len(back), fullest


def main() -> None:
    """Print a table."""
    connections = int(sys.argv[1]) if len(sys.argv) > 1 else CONNECTIONS
    files = raise_file_limit()
    if 2 * connections + _OTHER_FILES > files:
        sys.exit(
            f"{connections:,} connections have two ends here, and this process may open {files:,} "
            "files: say fewer, or raise ulimit -n"
        )
    print(f"{connections:,} connections to {LISTENERS} listeners, one dies; medians of {RUNS} runs")
    print("addresses  come from a port that was left  the fullest other gets, of the mean")
    # Of its own for each run: the kernel remembers which ports of an address it gave last.
    addresses = (str(ipaddress.IPv4Address("127.1.0.1") + number) for number in range(10_000))
    for number in ADDRESSES:
        runs = [
            run(connections, [next(addresses) for _ in range(number)], dead=0) for _ in range(RUNS)
        ]
        again, fullest = (median(each) for each in zip(*runs, strict=True))
        print(f"{number:>9}{again:>33.0%}{fullest:>38.1f}x")


if __name__ == "__main__":
    main()
