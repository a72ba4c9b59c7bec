"""The composition root: the only file that chooses among implementations."""

import asyncio
import gc
import logging
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from itertools import chain

import uvicorn
from fastapi import FastAPI

from storm_gateway.actions.actions import Actions
from storm_gateway.actions.publisher import control_of
from storm_gateway.actions.secret import load_secret
from storm_gateway.api.app import make_api, warm
from storm_gateway.bus.base import CONTROL, Bus, BusEvent, ControlEvent
from storm_gateway.bus.memory import MemoryBus
from storm_gateway.config import Config, host_and_port
from storm_gateway.connections.admission import most_files, raise_file_limit
from storm_gateway.connections.connection import Connection
from storm_gateway.connections.drain import drain
from storm_gateway.connections.edge import Edge
from storm_gateway.connections.front import protocols_of
from storm_gateway.connections.listeners import Listeners, bind, name_of
from storm_gateway.connections.rebalance import Rebalance
from storm_gateway.connections.server import PROBE_AGAIN_SECONDS, NodeServer, Overseer
from storm_gateway.errors import StormError, UnavailableError
from storm_gateway.hub.control import Control
from storm_gateway.hub.feed import Subscriber
from storm_gateway.hub.hub import Hub
from storm_gateway.hub.subscribe import Subscriptions
from storm_gateway.limits.base import Limits
from storm_gateway.limits.local import LocalLimits
from storm_gateway.observability.memory import Trimmer
from storm_gateway.observability.metrics import Metrics
from storm_gateway.observability.scheduling import schedule
from storm_gateway.presence.base import Presence
from storm_gateway.presence.memory import MemoryPresence
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import Durable
from storm_gateway.store.base import Store
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.write_health import CannotWriteError
from storm_gateway.version import VERSION

log = logging.getLogger("storm")

_BACKLOG = 4_096
_PROBE_SECONDS = 2.0
_GC_THRESHOLD = 50_000
_READY_SECONDS = 10.0
_LOOK_SECONDS = 5.0
"""How often a node looks for what the command line revoked: it tells no bus."""
_MEMORY_SECONDS = 5


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
        self.actions = Actions(
            config,
            self.store,
            self.bus,
            self.metrics,
            load_secret(config),
            node=self.node,
            life=self.life,
        )
        self.hub = Hub(config, self.store, self.bus, self.presence, self.metrics)
        self.subscriptions = Subscriptions(config, self.hub, self.store, self.metrics)
        self.control = Control(self.hub, self.actions.channels.may_receive, self._is_revoked)
        self.edge = Edge(
            config,
            self.node,
            self.life,
            self.actions,
            self.hub,
            self.subscriptions,
            self.control,
            self.metrics,
            self.limits,
        )
        self.rebalance = Rebalance(self.edge)
        self._trimmer = Trimmer(fit=self.edge.fit)
        self.hub.on_learned = self._on_learned
        self._lag = 0.0
        self._delivers = False  # as of the last time that somebody asked
        self._disruptions = 0
        self._recovered = 0  # disruptions after which the store was asked
        self._probing: asyncio.Task[list[str]] | None = None
        self._clock: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._gc_began = 0.0
        self._look_due = 0.0
        self._epoch_due = 0.0
        self.ended_by = ""
        """Why the node ends although nobody asked it to."""
        self._server: NodeServer | None = None

    # --- life ---

    async def start(self) -> None:
        """Open the store, the bus and presence; from then on events flow."""
        await self.store.start(self.actions.publisher.committed)
        self.edge.epoch = await self.store.epoch()
        await self.bus.start()
        self.bus.on_disruption(self._disrupted)
        await self.bus.subscribe(CONTROL, self._on_control)
        await self.actions.nodes.start()
        await self.presence.start(self.hub.on_presence)
        await self.limits.start()
        await self.actions.start()
        self._clock = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """End in the reverse order; what waits for commit is committed."""
        if self._clock is not None:
            self._clock.cancel()
        if self._probing is not None:
            self._probing.cancel()
        if self._reporting is not None:
            self._reporting.cancel()
        for task in [*self._work, *self.edge.tasks]:
            task.cancel()
        await asyncio.gather(
            *filter(None, (self._clock, self._reporting)),
            *self._work,
            *self.edge.tasks,
            return_exceptions=True,
        )
        self.actions.nodes.leave()
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
        repairs = loop.time()
        # Nodes that start together do not do the work of each second at the same moment.
        due = repairs - random.random()  # noqa: S311 nothing depends on it
        while True:
            due += 1.0
            await asyncio.sleep(max(0.0, due - loop.time()))
            now = loop.time()
            self._lag = max(0.0, now - due)
            self.metrics.loop_lag_seconds.observe(self._lag)
            if self._lag > 1.0:
                due = now  # seconds that were missed are not made up for
            try:
                self.edge.second()
                well = self._delivers and self.bus.connected
                self.rebalance.second(now, self.actions.nodes.lately(), well)
                if self.edge.tick % _MEMORY_SECONDS == 0:
                    self._trimmer.look(self.edge.admission.total)
            except Exception:  # this task is all the time there is: whatever it was, it goes on
                log.exception("a second of the node's clock failed")
            self.metrics.save_queue_length.set(self.store.queue_length)
            self.actions.trim()
            if self.actions.nodes.tick(self._lag) and (
                self._reporting is None or self._reporting.done()
            ):
                self._reporting = asyncio.create_task(self._report())
                self._reporting.add_done_callback(self._ended)
            if now >= repairs:
                repairs = now + self.config.repair_seconds
                if not self._work:
                    self._spawn(self._repair())

    async def _repair(self) -> None:
        # Whatever else is away: who restores a backup has often lost more than the database.
        await self._look_for_another_epoch()
        try:
            await self.hub.sweep(self.edge.tick)
            if not self.bus.connected or self._recovered < self._disruptions:
                await self._recover()
            elif time.monotonic() >= self._look_due:
                self._look_due = time.monotonic() + _LOOK_SECONDS
                if await self.actions.look_for_revocations():
                    self.control.revoke_void()
            await self.hub.compare_heads()
        except StormError as error:
            log.warning("heads cannot be compared: %s", error.message)

    async def _report(self) -> None:
        self.actions.nodes.report(ready=not await self.ready())

    async def _look_for_another_epoch(self) -> None:
        if time.monotonic() < self._epoch_due or self.edge.admission.draining:
            return
        self._epoch_due = time.monotonic() + _LOOK_SECONDS
        try:
            if await self.store.epoch() == self.edge.epoch:
                return
        except StormError as error:
            log.warning("the epoch cannot be read: %s", error.message)
            return
        # What this node knows of every channel is of a database that is gone. A node that starts
        # knows nothing wrong.
        self.ended_by = "the database is another one (a backup was restored)"
        log.error("%s: this node drains and ends", self.ended_by)
        self.end()

    def _disrupted(self) -> None:
        # Channel events may be lost, and control events too.
        self._disruptions += 1
        self.hub.repair_all()
        self._spawn(self._recover())

    async def _recover(self) -> None:
        """Learn from the store what control events would have told; else the next repair does."""
        disruptions = self._disruptions
        try:
            await self.actions.recover()
        except StormError as error:
            log.warning("what control events told cannot be read: %s", error.message)
            return
        self.control.revoke_void()
        self._recovered = disruptions

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work of the node failed", exc_info=error)

    def _on_control(self, event: BusEvent) -> None:
        if isinstance(event, ControlEvent):
            self.actions.on_control(event)
            self.control.on_event(event)
            if event.kind in ("user_revoked", "user_banned"):
                # The store knows the user's logins by name: those of clocks that are ahead, too.
                self._look_due = 0.0

    def _on_learned(self, event: Durable) -> None:
        # Its control event may have been lost with it; carried out twice it does no harm.
        control = control_of(event, encode(event))
        if control is not None:
            self._on_control(control)

    def _is_revoked(self, subscriber: Subscriber) -> CloseCode | None:
        auth = self.actions.auth
        if auth.is_banned(subscriber.user_id):
            return CloseCode.FORBIDDEN
        if isinstance(subscriber, Connection) and auth.is_revoked(subscriber.identity):
            return CloseCode.AUTHENTICATION_FAILED
        return None

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
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe())
            self._probing.add_done_callback(self._probed)
        # Shared by all who ask meanwhile, and not ended by one of them who leaves.
        reasons += await asyncio.shield(self._probing)
        self._delivers = not reasons
        self.metrics.ready.set(self._delivers)
        return reasons

    async def _probe(self) -> list[str]:
        """What does not answer in time; all are asked at once."""
        probes: dict[str, Callable[[float], Awaitable[None]]] = {
            "bus": self.bus.probe,
            "store": self.store.probe,
            "presence": self.presence.probe,
        }

        async def fault(name: str) -> list[str]:
            up = self.metrics.dependency_up.labels(name)
            began = time.perf_counter()
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    await probes[name](_PROBE_SECONDS)
            except (StormError, TimeoutError) as error:
                up.set(0)
                if isinstance(error, CannotWriteError):
                    return [f"{name}: {error.message}"]
                return [f"{name} does not answer"]
            up.set(1)
            self.metrics.probe_seconds.labels(name).observe(time.perf_counter() - began)
            return []

        return list(chain.from_iterable(await asyncio.gather(*map(fault, probes))))

    def _probed(self, task: "asyncio.Task[list[str]]") -> None:
        self._probing = None
        if not task.cancelled():
            task.exception()  # whoever asked hears of it

    # --- serving ---

    def make_api(self) -> FastAPI:
        """The REST edge."""
        return make_api(
            self.actions,
            config=self.config,
            metrics=self.metrics,
            health=self,
            presence=self.presence.look,
            limits=self.limits,
        )

    def listen(self) -> Listeners:
        """Bind. Raises ``OSError`` when an address is taken."""
        config = self.config
        service = bind(config.host, config.port)
        if not config.node_addr:
            return Listeners(service)
        try:
            return Listeners(service, bind(*host_and_port(config.node_addr)))
        except OSError:
            service.close()
            raise

    async def serve(self, listeners: Listeners, overseer: Overseer | None = None) -> None:
        """Run until SIGTERM or SIGINT, or until the overseer says so; then drain and end."""
        front, ws = protocols_of(self.edge)
        api = self.make_api()
        server = NodeServer(
            uvicorn.Config(
                api,
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
            listeners,
            overseer,
            drain=self.drain,
            ready=self.ready,
        )
        self._server = server
        if overseer is not None:
            overseer.attach(self.end)
        await self.start()
        try:
            await warm(api)
            if overseer is not None:
                await self._become_ready(overseer)
            log.info("STORM %s listens on %s", VERSION, " and ".join(map(name_of, listeners.all)))
            self._spare_the_collector()
            await server.serve(sockets=listeners.all)
        finally:
            if overseer is not None:
                overseer.detach()
            await self.stop()
            gc.callbacks[:] = [c for c in gc.callbacks if c != self._watch_collector]
            gc.unfreeze()

    async def _become_ready(self, overseer: Overseer) -> None:
        # Who shares an address listens once it delivers: until then the others do better.
        patience = time.monotonic() + _READY_SECONDS
        while reasons := await self.ready():
            if self._server is not None and self._server.should_exit:
                return
            if time.monotonic() > patience:
                await overseer.unready(", ".join(reasons))
                return
            await asyncio.sleep(PROBE_AGAIN_SECONDS)

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
        return MemoryBus(metrics)
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


def serve(
    config: Config, listeners: Listeners | None = None, overseer: Overseer | None = None
) -> int:
    """Run one node until it is told to end; returns the exit status. Without ``listeners`` it
    makes its own.
    """
    raise_file_limit()
    schedule(config.scheduling)

    def fail(why: str, *, again: bool = False) -> int:
        log.error("%s", why)
        if overseer is not None:
            overseer.failed(why, again=again)
        return 1

    try:
        gateway = Gateway(config)
    except (ValueError, OSError) as error:
        return fail(f"cannot start: {error}")
    try:
        listeners = listeners or gateway.listen()
    except OSError as error:
        addr = f"{config.addr} and {config.node_addr}" if config.node_addr else config.addr
        return fail(f"cannot listen on {addr}: {os.strerror(error.errno or 0)}")
    listeners.close_first(most_files(config.max_connections))
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            runner.run(gateway.serve(listeners, overseer))
        except StormError as error:
            return fail(error.message, again=isinstance(error, UnavailableError))
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
    if gateway.ended_by:
        # Not 0: managers that start again only what failed shall do so.
        return fail(f"the node has to be started again: {gateway.ended_by}", again=True)
    return 0
