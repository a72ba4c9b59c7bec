"""One topic that this node listens to on NATS."""

import logging
from collections.abc import Callable

from storm_gateway.bus.base import BusEvent, Handler
from storm_gateway.bus.link import Link
from storm_gateway.bus.wire import SEPARATOR, GarbageError, reader_of
from storm_gateway.observability.metrics import Counts

log = logging.getLogger("storm.bus")


class Topic:
    """What is wanted, and the subscription at the server that stands for it now.

    Each has a subscription of its own, so that leaving a topic and coming back to it cannot meet.
    """

    __slots__ = (
        "_about",
        "_counts",
        "_on_error",
        "_read",
        "confirmed",
        "handler",
        "link",
        "name",
        "taken",
    )

    def __init__(
        self, name: str, handler: Handler, counts: Counts, on_error: Callable[[str], None]
    ) -> None:
        self.name = name
        self.handler: Handler | None = handler
        self.link: Link | None = None  # where it was asked for
        self.confirmed: Link | None = None  # where the server is known to have it
        self.taken = 0  # the subscription there; 0: none
        self._read, self._about = reader_of(name)
        self._counts = counts
        self._on_error = on_error

    async def take(self, link: Link) -> None:
        """Ask the server for it. Raises ``LinkError``."""
        self.link = link
        taken = await link.subscribe(self.name, self)
        if self.handler is None or self.link is not link:
            await link.unsubscribe(taken)  # it was left meanwhile
        else:
            self.taken = taken

    async def leave(self) -> None:
        """Nothing more comes from this moment on; the server is told."""
        self.handler = None
        link, taken, self.taken = self.link, self.taken, 0
        if link is not None and taken and link.alive:
            await link.unsubscribe(taken)

    def __call__(self, data: bytes) -> None:
        """A message came. The topic itself is what is called: a bound method for each would be kept
        as long as it.
        """
        events = data.split(SEPARATOR) if SEPARATOR in data else (data,)
        counts = self._counts
        counts.bus_received_messages += 1
        counts.bus_received_events += len(events)
        for event in events:
            if (handler := self.handler) is None:
                return
            try:
                found: BusEvent = self._read(self._about, event)
            except GarbageError:
                self._on_error("garbage")
                continue
            try:
                handler(found)
            except Exception:
                self._on_error("handler")
                log.exception("an event of %s could not be handled", self.name)
