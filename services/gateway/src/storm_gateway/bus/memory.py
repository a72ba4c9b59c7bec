"""The bus of one node: a function call, in order, without loss."""

import time
from collections.abc import Callable

from storm_gateway.bus.base import BusEvent, Handler
from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics


class MemoryBus:
    """The embedded default. Events are delivered before ``publish`` returns."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        """``metrics``: where the time of each ``publish`` is told."""
        self._seconds = metrics.publish_seconds if metrics else None
        self._handlers: dict[str, Handler] = {}
        self._running = False

    @property
    def connected(self) -> bool:
        return self._running

    async def start(self) -> None:
        self._running = True

    async def stop(self) -> None:
        self._running = False
        self._handlers.clear()

    def publish(self, topic: str, event: BusEvent) -> None:
        handler = self._handlers.get(topic)
        if self._seconds is None:
            if handler is not None:
                handler(event)
            return
        began = time.perf_counter()
        if handler is not None:
            handler(event)
        self._seconds.observe(time.perf_counter() - began)

    async def subscribe(self, topic: str, handler: Handler) -> None:
        self._handlers[topic] = handler

    async def unsubscribe(self, topic: str) -> None:
        self._handlers.pop(topic, None)

    def on_disruption(self, handler: Callable[[], None]) -> None:
        """A function call does not break: there is nothing to tell."""

    async def probe(self, timeout_seconds: float) -> None:
        if not self._running:
            raise UnavailableError("The bus is stopped.")
