"""What a node takes and gives back, and what it works, by who manages the memory of its objects.

    python benchmarks/allocators.py [connections of a node]

A node for each: Python's own allocator, which gives arenas of 1 MiB back as a whole; the C
library's, which single pages leave where a node asks for it; jemalloc and mimalloc, where this
machine has them (Debian: libjemalloc2, libmimalloc2.0), which give back pages, too. In turn a
crowd comes to each, hears messages and says some, three times; then all stay for a while, leave,
and every node has the time that it takes to give back what is free.
"""
# ruff: noqa: T201 this is the output

import ctypes.util
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

from harness.client import LoadClient
from harness.procfs import cpu_seconds, pss_bytes
from harness.progress import say
from harness.room import client_of, warm_up
from harness.servers import SERVERS, Running, Start, started
from harness.session import SPARE_FILES, alone, fresh_folder, new_plan, raise_file_limit

from storm_gateway.observability import allocator

RUNS = 3
CONNECTIONS = 5_000
SECONDS = 2.0
"""Of each load."""
SENDERS, WINDOW = 50, 4
CAME_SECONDS = 40.0
"""A node asks for what is free half a minute after the last have come."""
LEFT_SECONDS = 190.0
"""It asks half a minute after the last have left, and two minutes later once more."""
OWN = "Python's own"
C_LIBRARY = "the C library's"
_CLEAR = {"PYTHONMALLOC": "", "LD_PRELOAD": ""}
OTHERS = ("jemalloc", "mimalloc")


@dataclass
class Node:
    """One of those that are compared."""

    process: Running
    client: LoadClient
    connections: int
    empty: int
    """Bytes, before anybody came."""
    full: int = 0
    left: int = 0
    join: list[float] = field(default_factory=list)
    """Microseconds of processor time of the node for each; one of each round."""
    delivery: list[float] = field(default_factory=list)
    message: list[float] = field(default_factory=list)

    @property
    def each(self) -> float:
        """Bytes of a connection."""
        return (self.full - self.empty) / self.connections

    @property
    def given_back(self) -> float:
        """The share of what all took."""
        return (self.full - self.left) / (self.full - self.empty)


def environments() -> dict[str, dict[str, str]]:
    """Of each allocator that this machine has: what the process of a node finds."""
    found = {OWN: _CLEAR, C_LIBRARY: {**_CLEAR, "PYTHONMALLOC": "malloc"}}
    library = ctypes.util.find_library("mimalloc")
    others = {
        "jemalloc": allocator.environment("auto", {}),  # as nodes get it
        "mimalloc": {"PYTHONMALLOC": "malloc", "LD_PRELOAD": library} if library else {},
    }
    for name in OTHERS:
        if others[name]:
            found[name] = others[name]
        else:
            say(f"{name} is not on this machine")
    return found


def start_with(environment: dict[str, str], port: int, data: Path, secret: str) -> Start:
    """STORM as in the other benchmarks, and its allocator."""
    start = SERVERS["storm"].start(port, data, secret)
    return replace(start, environment={**start.environment, **environment})


def one_round(node: Node, connections: int) -> None:
    """All come, hear and say."""

    def spent() -> float:
        return cpu_seconds(node.process.pid) * 1e6

    before = spent()
    node.client.open(connections)
    opened = spent()
    node.join.append((opened - before) / connections)
    deliveries = node.client.burst(1, SECONDS)["deliveries"]
    heard = spent()
    node.delivery.append((heard - opened) / deliveries)
    acked = node.client.acks(SENDERS, WINDOW, SECONDS)["acked"]
    node.message.append((spent() - heard) / acked)


def measure(connections: int) -> dict[str, Node]:
    """Each allocator's node, with its figures."""
    nodes: dict[str, Node] = {}
    with ExitStack() as stack:
        plan = new_plan(connections, SECONDS, 0, connections)
        for name, environment in environments().items():
            server = replace(SERVERS["storm"], start=partial(start_with, environment))
            data = fresh_folder(f"allocators-{len(nodes)}")
            process = stack.enter_context(started(server, data, plan.secret, cpu=plan.server_cpu))
            client = stack.enter_context(client_of(server, process, plan))
            warm_up(client, connections)
            nodes[name] = Node(process, client, connections, pss_bytes(process.pid))
        for number in range(RUNS):
            for name, node in nodes.items():
                say(f"round {number + 1} of {RUNS}: {name}")
                if number:
                    node.client.close()
                    time.sleep(1)
                one_round(node, connections)
        say(f"all stay for {CAME_SECONDS:.0f} s")
        time.sleep(CAME_SECONDS)
        for node in nodes.values():
            node.full = pss_bytes(node.process.pid)
            node.client.close()
        say(f"all have left; the nodes have {LEFT_SECONDS:.0f} s")
        time.sleep(LEFT_SECONDS)
        for node in nodes.values():
            node.left = pss_bytes(node.process.pid)
    return nodes


def table(nodes: dict[str, Node]) -> str:
    """A line for each; what it works, also as a multiple of the first."""
    lines = [
        f"{'allocator':<16} {'empty':>8} {'each':>8} {'given back':>11}"
        f" {'a user comes':>15} {'a delivery':>15} {'a message':>15}"
    ]
    own = nodes[OWN]
    for name, node in nodes.items():
        work = (
            f"{median(found):>6.2f} µs {median(found) / median(base):>4.2f}x"
            for found, base in (
                (node.join, own.join),
                (node.delivery, own.delivery),
                (node.message, own.message),
            )
        )
        lines.append(
            f"{name:<16} {node.empty / 2**20:>4.0f} MiB {node.each:>6,.0f} B"
            f" {node.given_back:>11.0%} {' '.join(work)}"
        )
    return "\n".join(lines)


def main() -> None:
    """Print a table."""
    connections = int(sys.argv[1]) if len(sys.argv) > 1 else CONNECTIONS
    raise_file_limit(connections + SPARE_FILES)
    with alone():
        print(table(measure(connections)))


if __name__ == "__main__":
    main()
