"""The composition root: the only file that chooses among implementations."""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator

import uvicorn
from fastapi import FastAPI

from storm_gateway.actions.actions import Actions
from storm_gateway.actions.secret import load_secret
from storm_gateway.api.app import make_api
from storm_gateway.bus.base import CONTROL, Bus, BusEvent, ControlEvent
from storm_gateway.bus.memory import MemoryBus
from storm_gateway.config import Config
from storm_gateway.connections.admission import raise_file_limit
from storm_gateway.connections.connection import Connection
from storm_gateway.connections.drain import drain
from storm_gateway.connections.edge import Edge
from storm_gateway.connections.front import protocols_of
from storm_gateway.errors import StormError
from storm_gateway.hub.control import Control
from storm_gateway.hub.feed import Subscriber
from storm_gateway.hub.hub import Hub
from storm_gateway.hub.subscribe import Subscriptions
from storm_gateway.limits.base import Limits
from storm_gateway.limits.local import LocalLimits
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.base import Presence
from storm_gateway.presence.memory import MemoryPresence
from storm_gateway.store.base import Store
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.version import VERSION

log = logging.getLogger("storm")

_BACKLOG = 4_096
_PROBE_SECONDS = 2.0
_GC_THRESHOLD = 50_000
_NOT_SENT_LOWAT = 128 * 1024
"""Bytes of a slow client that wait in the kernel; the rest waits in our outbox, where it is
counted, shared and dropped by its kind."""


class Gateway:
    """One node: everything between its listening socket and its store."""

    def __init__(self, config: Config) -> None:
        """Raises ``ValueError`` for settings that this version cannot follow."""
        if config.is_cluster and config.cluster_faults:
            # Started all the same, it would look like a cluster and be several islands.
            raise ValueError("several nodes need more: " + "; ".join(config.cluster_faults))
        self.config = config
        self.node = config.node_name or f"n{secrets.token_hex(4)}"
        self.metrics = Metrics(self.node)
        self.metrics.build.labels(VERSION).set(1)
        self.store: Store = SqlStore(config, self.metrics)
        # Two lives of one node, and two nodes that were given one name, are not the same.
        self.life = f"{self.node}.{secrets.token_hex(4)}"
        self.bus = _make_bus(config, self.life, self.metrics)
        self.presence = _make_presence(config, self.life, self.metrics)
        self.limits = _make_limits(config, self.life, self.metrics)
        self.actions = Actions(config, self.store, self.bus, self.metrics, load_secret(config))
        self.hub = Hub(config, self.store, self.bus, self.presence, self.metrics)
        self.subscriptions = Subscriptions(config, self.hub, self.store, self.metrics)
        self.control = Control(self.hub, self.actions.channels.may_receive, self._is_revoked)
        self.edge = Edge(
            config,
            self.node,
            self.actions,
            self.hub,
            self.subscriptions,
            self.control,
            self.metrics,
        )
        self._lag = 0.0
        self._clock: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._gc_began = 0.0
        self._server: _Server | None = None

    # --- life ---

    async def start(self) -> None:
        """Open the store, the bus and presence; from then on events flow."""
        await self.store.start(self.actions.publisher.committed)
        await self.bus.start()
        self.bus.on_disruption(self._disrupted)
        await self.bus.subscribe(CONTROL, self._on_control)
        await self.presence.start(self.hub.on_presence)
        await self.limits.start()
        await self.actions.start()
        self._clock = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """End in the reverse order; what waits for commit is committed."""
        if self._clock is not None:
            self._clock.cancel()
        for task in [*self._work, *self.edge.tasks]:
            task.cancel()
        await asyncio.gather(
            *([self._clock] if self._clock else []),
            *self._work,
            *self.edge.tasks,
            return_exceptions=True,
        )
        await self.control.stop()
        await self.hub.stop()
        await self.limits.stop()
        await self.presence.stop()
        await self.actions.stop()
        await self.store.stop()
        await self.bus.stop()

    async def drain(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Send every connection away, spread over the configured time.

        As soon as ``hurried`` says so, it waits for nothing more.
        """
        if self.edge.admission.draining:
            return
        count = self.edge.admission.total
        if count:
            log.info("draining %d connections", count)
        await drain(self.edge, self.config.drain_seconds, hurried)

    # --- the clock of the node ---

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        repairs = due
        while True:
            due += 1.0
            await asyncio.sleep(max(0.0, due - loop.time()))
            now = loop.time()
            self._lag = max(0.0, now - due)
            self.metrics.loop_lag_seconds.observe(self._lag)
            if self._lag > 1.0:
                due = now  # seconds that were missed are not made up for
            self.edge.second()
            self.metrics.save_queue_length.set(self.store.queue_length)
            if now >= repairs:
                repairs = now + self.config.repair_seconds
                if not self._work:
                    self._spawn(self._repair())

    async def _repair(self) -> None:
        try:
            await self.hub.sweep(self.edge.tick)
            await self.hub.compare_heads()
        except StormError as error:
            log.warning("heads cannot be compared: %s", error.message)

    def _disrupted(self) -> None:
        # Channel events may be lost, and control events too.
        self.hub.repair_all()
        self._spawn(self._recover())

    async def _recover(self) -> None:
        try:
            await self.actions.recover()
        except StormError as error:
            log.warning("what control events told cannot be read: %s", error.message)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _on_control(self, event: BusEvent) -> None:
        if isinstance(event, ControlEvent):
            self.actions.on_control(event)
            self.control.on_event(event)

    def _is_revoked(self, subscriber: Subscriber) -> bool:
        return isinstance(subscriber, Connection) and not self.actions.auth.is_current(
            subscriber.identity
        )

    # --- health ---

    @property
    def bus_connected(self) -> bool:
        """Whether the bus is connected, as far as it knows."""
        return self.bus.connected

    async def ready(self) -> list[str]:
        """Why this node does not deliver; empty when it does."""
        reasons = []
        if self.edge.admission.draining:
            reasons.append("draining")
        if self._lag * 1000 > self.config.ready_loop_lag_milliseconds:
            reasons.append(f"event loop is {self._lag * 1000:.0f} ms late")
        probes: dict[str, Callable[[float], object]] = {
            "bus": self.bus.probe,
            "store": self.store.probe,
            "presence": self.presence.probe,
        }
        for name, probe in probes.items():
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    await probe(_PROBE_SECONDS)  # type: ignore[misc]
            except (StormError, TimeoutError):
                reasons.append(f"{name} does not answer")
        self.metrics.ready.set(not reasons)
        return reasons

    # --- serving ---

    def make_api(self) -> FastAPI:
        """The REST edge."""
        return make_api(
            self.actions,
            config=self.config,
            metrics=self.metrics,
            health=self,
            presence=self.presence.look,
        )

    def listen(self) -> socket.socket:
        """Bind. Raises ``OSError`` when the address is taken."""
        family = socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_LOWAT)
        try:
            listener.bind((self.config.host, self.config.port))
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        return listener

    async def serve(self, listener: socket.socket) -> None:
        """Run until SIGTERM or SIGINT, then drain and end."""
        front, ws = protocols_of(self.edge)
        server = _Server(
            uvicorn.Config(
                self.make_api(),
                http=front,
                ws=ws,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=10,
                # Longer than clients keep a connection that they mean to use again.
                timeout_keep_alive=30,
            ),
            self,
        )
        self._server = server
        await self.start()
        try:
            host, port = listener.getsockname()[:2]
            log.info("STORM %s listens on %s:%d", VERSION, host, port)
            self._spare_the_collector()
            await server.serve(sockets=[listener])
        finally:
            await self.stop()
            gc.callbacks[:] = [c for c in gc.callbacks if c != self._watch_collector]
            gc.unfreeze()

    def end(self) -> None:
        """Let ``serve`` drain and end, as SIGTERM does. Before it serves: nothing happens."""
        if self._server is not None:
            self._server.should_exit = True

    def _spare_the_collector(self) -> None:
        # A full collection walks every connection; what is made at the start never dies.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 50, 1000)
        gc.callbacks.append(self._watch_collector)

    def _watch_collector(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._gc_began = time.perf_counter()
        else:
            self.metrics.gc_seconds.observe(time.perf_counter() - self._gc_began)


def _make_bus(config: Config, life: str, metrics: Metrics) -> Bus:
    if not config.nats_url:
        return MemoryBus()
    from storm_gateway.bus.nats import NatsBus

    return NatsBus(config, life, metrics)


def _make_presence(config: Config, life: str, metrics: Metrics) -> Presence:
    if not config.redis_url:
        return MemoryPresence(
            named=config.named_members,
            interval_seconds=config.presence_interval_seconds,
            grace_seconds=config.presence_grace_seconds,
        )
    from storm_gateway.presence.redis import RedisPresence

    return RedisPresence(config, life, metrics)


def _make_limits(config: Config, life: str, metrics: Metrics) -> Limits:
    if not config.redis_url:
        return LocalLimits()
    from storm_gateway.limits.redis import RedisLimits

    return RedisLimits(config, life, metrics)


class _Server(uvicorn.Server):
    """uvicorn's server that drains before it closes its listener."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Still listening: /readyz says 503 and upgrades are told to go elsewhere.
        # A second SIGINT means: do not wait.
        await self._gateway.drain(lambda: self.force_exit)
        await super().shutdown(sockets)
        log.info("ended")


def serve(config: Config) -> int:
    """Run one node until it is told to end; returns the exit status."""
    raise_file_limit()
    try:
        gateway = Gateway(config)
    except (ValueError, OSError) as error:
        log.error("cannot start: %s", error)  # noqa: TRY400 said for people
        return 1
    try:
        listener = gateway.listen()
    except OSError as error:
        log.error("cannot listen on %s: %s", config.addr, os.strerror(error.errno or 0))  # noqa: TRY400
        return 1
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            runner.run(gateway.serve(listener))
        except StormError as error:
            log.error("%s", error.message)  # noqa: TRY400 said for people
            return 1
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
    return 0
