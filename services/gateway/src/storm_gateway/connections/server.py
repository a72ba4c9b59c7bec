"""uvicorn's server, made to drain, to share its address with other nodes, and to be overseen."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import uvicorn

from storm_gateway.connections.listeners import Listeners, accept_waiting

log = logging.getLogger("storm")

PROBE_AGAIN_SECONDS = 0.1


class Overseer(Protocol):
    """Who started this node beside others, and may end it."""

    replaced: bool
    """A successor serves already, on the same sockets."""

    def attach(self, end: Callable[[], None]) -> None:
        """From now on ``end`` may be called."""

    def detach(self) -> None:
        """No longer."""

    def ready(self) -> None:
        """The node delivers, and listens."""

    async def unready(self, why: str) -> None:
        """The node does not deliver. Returns when it shall listen all the same, or end."""

    def failed(self, why: str, *, again: bool) -> None:
        """The node could not start, or ends by itself. ``again``: another start may go well."""


class NodeServer(uvicorn.Server):
    """Runs until SIGTERM or SIGINT; drains before it closes its listeners."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: Listeners,
        overseer: Overseer | None,
        *,
        drain: Callable[[Callable[[], bool]], Awaitable[None]],
        ready: Callable[[], Awaitable[list[str]]],
    ) -> None:
        """``drain`` is given what says that it is in a hurry; ``ready`` says why it is not."""
        super().__init__(config)
        self._listeners = listeners
        self._overseer = overseer
        self._drain = drain
        self._ready = ready
        self._telling: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGTERM and SIGINT. uvicorn's own way raises the signal once more at the end:
        a node that drained would look killed to its service manager.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._overseer is not None:
            self._telling = asyncio.create_task(self._tell_ready(self._overseer))

    async def _tell_ready(self, overseer: Overseer) -> None:
        while await self._ready():  # noqa: ASYNC110 what it asks is asked over the network
            await asyncio.sleep(PROBE_AGAIN_SECONDS)
        overseer.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._telling is not None:
            self._telling.cancel()
        if self._listeners.shared:
            await self._leave_address()
        # Still listening elsewhere: /readyz says 503 and upgrades are told to go elsewhere.
        # A second SIGINT means: do not wait.
        await self._drain(lambda: self.force_exit)
        await super().shutdown(sockets)
        log.info("ended")

    async def _leave_address(self) -> None:
        # The kernel would go on sending us our share of the new connections, whatever we tell
        # them. A successor has both our sockets, and whatever waits in them.
        if self._overseer is not None and self._overseer.replaced:
            for server in self.servers:
                server.close()
            return
        await accept_waiting(self._listeners.service)
        self.servers[0].close()
