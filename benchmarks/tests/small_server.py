"""A small WebSocket server in a thread of its own, for the time of a test."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from websockets.asyncio.server import ServerConnection, serve


@contextmanager
def serving(handle: Callable[[ServerConnection], Awaitable[None]]) -> Iterator[int]:
    """Yields the port; every connection is given to ``handle``."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    port = 0

    async def main() -> None:
        nonlocal port
        async with serve(handle, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    ready.wait(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
