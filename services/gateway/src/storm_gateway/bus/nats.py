"""The bus between nodes: NATS. At most once, told apart from lost by whoever reads ``seq``."""

import asyncio
import contextlib
import logging
import random
import re
import secrets
import time
from collections.abc import Callable

from storm_gateway.bus.base import BusEvent, Handler
from storm_gateway.bus.link import Link, LinkError, addresses_of
from storm_gateway.bus.topic import Topic
from storm_gateway.bus.wire import encode_event, pack
from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics

log = logging.getLogger("storm.bus")

START_SECONDS = 10.0
"""How long the first connection is tried: servers and nodes start together."""
SYNC_SECONDS = 2.0
"""Longest wait for the server to have a subscription."""
WATCH_SECONDS = 1.0
SILENT_TICKS = 6
"""A canary flies each tick; when none came back for so many, the connection is dead."""
_BACKOFF_SECONDS = (0.05, 1.0)
_JOIN_BYTES = 128 * 1024
"""Bytes of events in one NATS message, when the server takes so many."""
_GATHER_BYTES = 32 * 1024 * 1024
"""Bytes that wait for a connection that does not take them; more are dropped and counted."""
_STRIDE = 256
_SAID_SECONDS = 10.0

_CANCEL_SECONDS = 0.1
"""How long a task may take to end before it is told once more."""

AWAY = "The bus does not answer; try again in a moment."


class NatsBus:
    """See :class:`~storm_gateway.bus.base.Bus`.

    While no server can be reached, ``publish`` drops and counts, and ``subscribe`` returns at
    once: the connection that comes next asks for every topic, and then tells of a disruption.
    """

    def __init__(self, config: Config, life: str, metrics: Metrics) -> None:
        """``life``: unique for each start of a node. Raises ``ValueError`` for a bad URL."""
        self._addresses = addresses_of(config.nats_url)
        if not self._addresses:
            raise ValueError("STORM_NATS_URL is empty: say nats://host:4222")
        random.shuffle(self._addresses)
        self._life = life
        self._canary = "canary." + re.sub(r"[^A-Za-z0-9_-]", "_", life) + secrets.token_hex(4)
        self._metrics = metrics
        self._counts = metrics.counts
        self._topics: dict[str, Topic] = {}
        self._fault = self._on_error  # one for all topics
        self._link: Link | None = None
        self._serving = False  # the server has all subscriptions
        self._silent = 0
        self._keeper: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._gathered: dict[str, list[bytes]] = {}
        self._gathered_bytes = 0
        self._gather_began = 0.0
        self._wake = asyncio.Event()
        self._next_canary: asyncio.Future[bool] | None = None
        self._canaries: dict[bytes, asyncio.Future[bool]] = {}
        self._flights = 0
        self._on_disruption: list[Callable[[], None]] = []
        self._said: dict[str, float] = {}

    # --- life ---

    @property
    def connected(self) -> bool:
        link = self._link
        return link is not None and self._serving and link.alive

    async def start(self) -> None:
        began = time.monotonic()
        while True:
            try:
                await self._connect()
                break
            except LinkError as error:
                if time.monotonic() - began > START_SECONDS:
                    raise UnavailableError(f"{error}.") from None
                await asyncio.sleep(0.2)
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        link = self._link
        if link is not None and link.alive:
            with contextlib.suppress(UnavailableError):
                await self._synchronise()
        await _end([task for task in (self._keeper, self._sender) if task is not None])
        self._keeper = self._sender = None
        for topic in self._topics.values():
            topic.handler = None
        self._topics.clear()
        links = {link, self._link}  # another one, if it had just come back
        self._lose()
        for each in links:
            if each is not None:
                await each.close(gracefully=True)

    async def _connect(self) -> None:
        """Try the next server; on return it has every subscription. Raises ``LinkError``."""
        address = self._addresses.pop(0)
        self._addresses.append(address)
        link = Link(address, self._on_error)
        await link.open(self._life)
        try:
            self._silent = 0
            self._link = link
            if self._sender is None:
                self._sender = asyncio.create_task(self._send())
            await link.subscribe(self._canary, self._on_canary)
            for index, topic in enumerate(list(self._topics.values())):
                if topic.link is not link and topic.handler is not None:
                    await topic.take(link)
                if index % _STRIDE == _STRIDE - 1:
                    await asyncio.sleep(0)
            await self._synchronise()
            for topic in self._topics.values():
                if topic.link is link:
                    topic.confirmed = link
        except BaseException as error:
            self._lose()
            await link.close()
            if isinstance(error, UnavailableError):
                raise LinkError(f"NATS at {address.name} does not deliver") from None
            raise
        self._serving = True

    async def _keep(self) -> None:
        while True:
            try:
                await self._watch()
                await self._come_back()
            except Exception:
                log.exception("the keeper of the bus failed")
                await asyncio.sleep(WATCH_SECONDS)

    async def _watch(self) -> None:
        """Return when the connection is gone."""
        while (link := self._link) is not None and link.alive and self._silent <= SILENT_TICKS:
            # Ticks, not seconds: a node that stood still must not take that for silence.
            self._silent += 1
            self._fly()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(link.lost.wait(), WATCH_SECONDS)

    async def _come_back(self) -> None:
        link = self._link
        self._lose()
        if link is not None:
            kind = link.why()
            self._on_error(kind)
            log.warning("NATS at %s is gone (%s)", link.address.name, kind)
            await link.close()
        wait, most = _BACKOFF_SECONDS
        while True:
            try:
                await self._connect()
                break
            except LinkError as error:
                self._say("reconnect", "%s; trying on", error)
                # Jitter: many nodes lost it in the same moment.
                await asyncio.sleep(wait * (0.5 + random.random()))  # noqa: S311 no secret
                wait = min(most, wait * 2)
        self._metrics.bus_reconnects.inc()
        log.info("connected to NATS again")
        self._tell_disruption()

    def _lose(self) -> None:
        self._link = None
        self._serving = False
        waiting = list(self._canaries.values())
        self._canaries.clear()
        if self._next_canary is not None:
            waiting.append(self._next_canary)
            self._next_canary = None
        for flight in waiting:
            if not flight.done():
                flight.set_result(False)

    # --- publishing ---

    def publish(self, topic: str, event: BusEvent) -> None:
        if self._link is None:
            self._drop("dropped_disconnected", 1)
            return
        data = encode_event(event)
        if self._gathered_bytes + len(data) > _GATHER_BYTES:
            self._drop("dropped_full", 1)
            return
        parts = self._gathered.get(topic)
        if parts is None:
            if not self._gathered:
                self._gather_began = time.perf_counter()
                self._wake.set()
            self._gathered[topic] = [data]
        else:
            parts.append(data)
        self._gathered_bytes += len(data)

    async def _send(self) -> None:
        # One task for all: it takes what a turn of the loop gathered, and gathers on by itself
        # while the connection is slow.
        while True:
            await self._wake.wait()
            self._wake.clear()
            canary, self._next_canary = self._next_canary, None
            gathered, self._gathered = self._gathered, {}
            self._gathered_bytes = 0
            try:
                if gathered:
                    await self._send_gathered(gathered)
                if canary is not None:
                    await self._send_canary(canary)
            except Exception:
                self._on_error("error")
                log.exception("events were not sent")
                if canary is not None and not canary.done():
                    canary.set_result(False)

    async def _send_gathered(self, gathered: dict[str, list[bytes]]) -> None:
        began = self._gather_began
        counts = self._counts
        for index, (topic, events) in enumerate(gathered.items()):
            link = self._link
            if link is None:
                self._drop("dropped_disconnected", len(events))
                continue
            for payload, count in pack(events, min(_JOIN_BYTES, link.max_payload)):
                if await link.publish(topic, payload):
                    counts.bus_sent_messages += 1
                    counts.bus_sent_events += count
                elif not link.alive:
                    self._drop("dropped_disconnected", count)
            if index % _STRIDE == _STRIDE - 1:
                await asyncio.sleep(0)
        self._metrics.publish_seconds.observe(time.perf_counter() - began)

    def _drop(self, kind: str, count: int) -> None:
        self._metrics.bus_errors.labels(kind).inc(count)

    # --- subscribing ---

    async def subscribe(self, topic: str, handler: Handler) -> None:
        found = self._topics.get(topic)
        new = found is None
        if found is None:
            found = self._topics[topic] = Topic(topic, handler, self._counts, self._fault)
        else:
            found.handler = handler
        link = self._link
        if link is None or found.confirmed is link:
            return
        try:
            if found.link is not link:
                await found.take(link)
            await self._synchronise()
        except LinkError:
            return  # the next connection asks for it
        except BaseException:
            if self._link is not link:
                return
            if new and self._topics.get(topic) is found:
                await self.unsubscribe(topic)
            raise
        if self._link is link:
            found.confirmed = link

    async def unsubscribe(self, topic: str) -> None:
        found = self._topics.pop(topic, None)
        if found is not None:
            await found.leave()

    # --- canaries: they go the whole way, behind all that was said before ---

    def _fly(self) -> "asyncio.Future[bool]":
        """A canary; all that are asked for in one turn are one."""
        flight = self._next_canary
        if flight is None:
            flight = asyncio.get_running_loop().create_future()
            if self._link is None:
                flight.set_result(False)
                return flight
            self._next_canary = flight
            self._wake.set()
        return flight

    async def _send_canary(self, flight: "asyncio.Future[bool]") -> None:
        link = self._link
        if link is None:
            flight.set_result(False)
            return
        self._flights += 1
        token = b"%d" % self._flights
        self._canaries[token] = flight
        await link.publish(self._canary, token)

    def _on_canary(self, data: bytes) -> None:
        flight = self._canaries.pop(data, None)
        if flight is None:
            self._on_error("garbage")
            return
        self._silent = 0
        if not flight.done():
            flight.set_result(True)

    async def _synchronise(self) -> None:
        """Until the server has all that was sent to it. Raises ``UnavailableError``."""
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                came = await asyncio.shield(self._fly())
        except TimeoutError:
            came = False
        if not came:
            raise UnavailableError(AWAY, retry_after_ms=1_000)

    async def probe(self, timeout_seconds: float) -> None:
        came = False
        if self.connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    came = await asyncio.shield(self._fly())
        if not came:
            raise UnavailableError(AWAY, retry_after_ms=1_000)

    # --- what goes wrong ---

    def on_disruption(self, handler: Callable[[], None]) -> None:
        self._on_disruption.append(handler)

    def _on_error(self, kind: str) -> None:
        self._metrics.bus_errors.labels(kind).inc()
        if kind not in ("disconnected", "handler"):
            self._say(kind, "the bus had an error: %s", kind)

    def _tell_disruption(self) -> None:
        for handler in self._on_disruption:
            try:
                handler()
            except Exception:
                log.exception("a disruption could not be told")

    def _say(self, kind: str, text: str, value: object) -> None:
        """One line of a kind in some seconds: a storm of errors must not be one of lines."""
        now = time.monotonic()
        if now - self._said.get(kind, -_SAID_SECONDS) >= _SAID_SECONDS:
            self._said[kind] = now
            log.warning(text, value)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel them until they have ended. Once is not enough: nats-py goes on as if nothing had been
    when a cancellation meets it while it flushes, and a task that connects would connect for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
