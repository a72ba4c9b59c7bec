"""How long a node does nothing else while it writes what is due in a second, all of it at once or
in portions.

    python benchmarks/heartbeats.py [connections that are due]

A heartbeat and a ping, one write for each, to real sockets in one process. What somebody says in
that moment waits for it, and so does whatever else has to be done on the machine.
"""
# ruff: noqa: T201 this is the output

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from storm_gateway.connections.keepalive import portions
from storm_gateway.connections.websocket import Engine, WebSocket
from storm_gateway.protocol.websocket import PING_FRAME, text_frame

RUNS = 9
DUE = 567
"""A node's share of 100,000 connections on six, within a second of thirty."""
FRAMES = text_frame(b'{"type":"heartbeat","heads":{"1":0,"45":33,"1234":87}}') + PING_FRAME


@contextmanager
def connections(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Both ends of each, on loopback; closed afterwards."""
    with ExitStack() as end:
        listener = end.enter_context(socket.create_server(("127.0.0.1", 0), backlog=count))
        pairs = []
        for _ in range(count):
            theirs = end.enter_context(socket.create_connection(listener.getsockname()))
            ours = end.enter_context(listener.accept()[0])
            for each in (ours, theirs):
                each.setblocking(False)
            pairs.append((ours, theirs))
        yield pairs


async def measure(due: int) -> dict[str, tuple[float, float]]:
    """For each way: milliseconds of the longest turn, and of all together; medians."""
    engine = Engine(
        message_bytes=65_536, ephemeral_bytes=262_144, close_bytes=1_048_576, close_seconds=3
    )
    bound = type("Bound", (WebSocket,), {"__slots__": (), "engine": engine})
    loop = asyncio.get_running_loop()
    with connections(due) as pairs:
        members: list[WebSocket] = []
        for ours, _ in pairs:
            _, websocket = await loop.create_connection(bound, sock=ours)
            websocket.opened()
            members.append(websocket)
        ways = {"at once": [members], "in portions": [some for _, some in portions(members)]}
        turns: dict[str, list[list[float]]] = {name: [] for name in ways}
        # In turn, so that whatever else the machine does meets both.
        for name, parts in list(ways.items()) * RUNS:
            turns[name].append([])
            for some in parts:
                await asyncio.sleep(0)
                began = time.perf_counter()
                for websocket in some:
                    websocket.deliver(FRAMES, b"", FRAMES)
                turns[name][-1].append(time.perf_counter() - began)
            for _, theirs in pairs:
                assert theirs.recv(65_536) == FRAMES  # noqa: S101 else it is no benchmark
        for websocket in members:
            websocket.transport.abort()
        await asyncio.sleep(0)
    return {
        name: (median(map(max, runs)) * 1e3, median(map(sum, runs)) * 1e3)
        for name, runs in turns.items()
    }


async def main(due: int) -> None:
    """Prints a table."""
    print(f"{f'{due:,} heartbeats with a ping, ms':<40} {'longest':>8} {'all':>8}")
    for name, (longest, all_of_it) in (await measure(due)).items():
        print(f"{name:<40} {longest:>8.2f} {all_of_it:>8.2f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else DUE))
