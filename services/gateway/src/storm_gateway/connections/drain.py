"""Leaving without a loss: nobody comes in, everybody is told when to come back, elsewhere."""

import asyncio
import random
from collections.abc import Callable

from storm_gateway.connections.edge import Edge
from storm_gateway.connections.websocket import State
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import Reconnect
from storm_gateway.protocol.websocket import text_frame

_AT_LEAST_PER_SECOND = 200
"""Connections closed a second: a handful need not wait for the whole time."""
_STEP_SECONDS = 0.05


def spread_seconds(connections: int, seconds: float) -> float:
    """How long a drain takes to send so many away, when it may take ``seconds``."""
    return min(seconds, connections / _AT_LEAST_PER_SECOND)


async def drain(edge: Edge, seconds: float, hurried: Callable[[], bool]) -> None:
    """Close every connection with 1012, spread over ``seconds``, each told its own delay before.

    Returns when all are gone or had their time to answer. As soon as ``hurried`` says so, it
    waits for nothing more.
    """
    edge.admission.draining = True
    loop = asyncio.get_running_loop()
    connections = edge.wheel.members()
    random.shuffle(connections)
    spread = spread_seconds(len(connections), seconds)
    began = loop.time()
    for index, connection in enumerate(connections):
        after = spread * index / len(connections)
        told = Reconnect(int(after * 1000), "restart")
        connection.send(text_frame(encode(told)))
        if index % 500 == 499:
            await asyncio.sleep(0)
    for index, connection in enumerate(connections):
        wait = began + spread * index / len(connections) - loop.time()
        if wait > 0 and not hurried():
            await asyncio.sleep(max(wait, _STEP_SECONDS))
        if connection.state is State.OPEN:
            connection.close(CloseCode.SERVICE_RESTART, "the node restarts")
    patience = loop.time() + edge.close_seconds
    # Polled: no event is worth its place in every connection for this one moment.
    while edge.closing and loop.time() < patience and not hurried():  # noqa: ASYNC110
        await asyncio.sleep(_STEP_SECONDS)
    for websocket in list(edge.closing):
        websocket.abort()
