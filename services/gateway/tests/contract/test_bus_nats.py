"""The bus on a real NATS server: killed, frozen, mute, overrun, and spoken to by strangers."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from hub_harness import until

from storm_gateway.bus import nats as bus_nats
from storm_gateway.bus.base import CONTROL, ChannelEvent, ControlEvent
from storm_gateway.bus.direct import DirectClient
from storm_gateway.bus.nats import NatsBus
from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.ports import free_port

TOPIC = "channels.1"
NOON = "2026-01-01T12:00:00.000Z"
PASSWORD = "s3cret-of-ours"


def event(seq: int, channel_id: int = 1, text: str = "hello") -> ChannelEvent:
    return ChannelEvent(
        channel_id, seq, encode(MessageEvent(channel_id, text, "alice", seq, seq, NOON))
    )


class Watched(NatsBus):
    """A bus, its metrics and how often it told of a disruption."""

    def __init__(self, config: Config) -> None:
        self.metrics = Metrics()
        self.counts = self.metrics.counts
        self.disruptions = 0
        super().__init__(config, "a node.1", self.metrics)
        self.on_disruption(self._count)

    def _count(self) -> None:
        self.disruptions += 1

    def errors(self, kind: str) -> float:
        name = "storm_bus_errors_total"
        return self.metrics.registry.get_sample_value(name, {"kind": kind}) or 0

    @property
    def reconnects(self) -> float:
        return self.metrics.registry.get_sample_value("storm_bus_reconnects_total") or 0


MakeBus = Callable[..., Awaitable[Watched]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", password=PASSWORD)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def make_bus(server: NatsServer, tmp_path: Path) -> AsyncIterator[MakeBus]:
    """Makes a started bus on the server, or on ``nats_url``."""
    buses: list[Watched] = []

    async def make(**settings: Any) -> Watched:
        bus = Watched(Config(data_dir=tmp_path, **{"nats_url": server.url, **settings}))
        await bus.start()
        buses.append(bus)
        return bus

    yield make
    for bus in buses:
        await bus.stop()


@pytest.fixture
async def plain(server: NatsServer) -> AsyncIterator[Any]:
    """A NATS client that is none of ours."""
    client = await nats.connect(server.url, allow_reconnect=False)
    yield client
    await client.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed in half a second; what the figures are is another test's matter."""
    monkeypatch.setattr(bus_nats, "WATCH_SECONDS", 0.07)
    monkeypatch.setattr(bus_nats, "SYNC_SECONDS", 0.2)


def test_a_dead_connection_is_noticed_within_ten_seconds() -> None:
    assert bus_nats.WATCH_SECONDS * (bus_nats.SILENT_TICKS + 2) < 9


# --- what strangers see and say ---


async def test_a_plain_client_reads_one_event_as_plain_json(make_bus: MakeBus, plain: Any) -> None:
    bus = await make_bus()
    heard = await plain.subscribe(TOPIC)
    # nats-py's flush goes past what its own flusher has not written yet.
    await until(lambda: not plain.pending_data_size)
    await plain.flush()
    bus.publish(TOPIC, event(7))
    message = await heard.next_msg(5)
    assert json.loads(message.data)["seq"] == 7
    assert message.data == event(7).body


async def test_what_one_turn_publishes_travels_in_few_messages(make_bus: MakeBus) -> None:
    bus = await make_bus()
    heard: dict[int, list[Any]] = {1: [], 2: []}
    for number, found in heard.items():
        await bus.subscribe(f"channels.{number}", found.append)
    before = bus.counts.bus_sent_messages
    for seq in range(1, 501):
        for number in heard:
            bus.publish(f"channels.{number}", event(seq, number))
    await until(lambda: all(len(found) == 500 for found in heard.values()))
    assert heard[1] == [event(seq) for seq in range(1, 501)]
    assert bus.counts.bus_sent_messages - before <= 4
    assert (bus.counts.bus_sent_events, bus.counts.bus_received_events) == (1_000, 1_000)
    assert bus.counts.bus_received_messages == bus.counts.bus_sent_messages
    seconds = "storm_nats_publish_duration_seconds_count"
    assert bus.metrics.registry.get_sample_value(seconds)


async def test_more_than_a_message_may_hold_travels_in_several(make_bus: MakeBus) -> None:
    bus = await make_bus()
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)
    sent = [event(seq, text="x" * 60_000) for seq in range(1, 61)]
    for item in sent:
        bus.publish(TOPIC, item)
    await until(lambda: len(heard) == 60)
    assert heard == sent
    assert bus.errors("too_large") == 0


async def test_an_event_that_no_message_can_hold_is_counted_and_stops_nothing(
    make_bus: MakeBus,
) -> None:
    bus = await make_bus()
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)
    for item in (event(1), event(2, text="x" * 4_200_000), event(3)):
        bus.publish(TOPIC, item)
    await until(lambda: len(heard) == 2)
    assert heard == [event(1), event(3)]
    assert bus.errors("too_large") == 1


async def test_garbage_of_strangers_is_counted_and_ignored(make_bus: MakeBus, plain: Any) -> None:
    bus = await make_bus()
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)
    await bus.subscribe(CONTROL, heard.append)
    for data in (b"", b"\xff\x00", b'{"payload":"hello","user_id":"eve"}', event(1, 2).body):
        await plain.publish(TOPIC, data)
    await plain.publish(CONTROL, b'{"kind":"user_revoked"}')
    await plain.publish(bus._canary, b"42")
    await plain.flush()
    bus.publish(TOPIC, event(2))
    await until(lambda: heard)
    assert heard == [event(2)]
    assert bus.errors("garbage") == 6


async def test_a_handler_that_fails_is_counted_and_the_rest_is_heard(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    bus = await make_bus()
    heard: list[Any] = []

    def handler(item: Any) -> None:
        if item.seq == 2:
            raise RuntimeError("of the handler")
        heard.append(item.seq)

    await bus.subscribe(TOPIC, handler)
    for seq in (1, 2, 3):
        bus.publish(TOPIC, event(seq))
    await until(lambda: len(heard) == 2)
    assert heard == [1, 3]
    assert bus.errors("handler") == 1
    assert "of the handler" in caplog.text


# --- subscribing ---


async def test_once_subscribe_returns_the_server_has_it(make_bus: MakeBus) -> None:
    one, other = await make_bus(), await make_bus()
    for number in range(1, 101):
        heard: list[Any] = []
        await one.subscribe(f"channels.{number}", heard.append)
        other.publish(f"channels.{number}", event(1, number))
        await until(lambda heard=heard: heard)


async def test_many_who_subscribe_at_once_share_one_round_trip(make_bus: MakeBus) -> None:
    bus = await make_bus()
    before = bus._flights
    heard: list[Any] = []
    numbers = range(1, 501)
    await asyncio.gather(*(bus.subscribe(f"channels.{n}", heard.append) for n in numbers))
    assert bus._flights - before <= 4
    for number in numbers:
        bus.publish(f"channels.{number}", event(1, number))
    await until(lambda: len(heard) == 500)


async def test_leaving_and_coming_back_at_random_leaves_what_came_last(make_bus: MakeBus) -> None:
    bus = await make_bus()
    tasks = []
    last: list[Any] = []
    for turn in range(200):
        heard: list[Any] = []
        tasks.append(asyncio.create_task(bus.unsubscribe(TOPIC)))
        tasks.append(asyncio.create_task(bus.subscribe(TOPIC, heard.append)))
        last = heard
        if turn % 3:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    bus.publish(TOPIC, event(1))
    await until(lambda: last)
    await bus.probe(5)
    assert last == [event(1)]


# --- the first connection ---


async def test_a_server_that_is_not_there_is_told_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bus_nats, "START_SECONDS", 0.3)
    port = free_port()
    bus = Watched(Config(data_dir=tmp_path, nats_url=f"nats://storm:{PASSWORD}@127.0.0.1:{port}"))
    with caplog.at_level(logging.DEBUG), pytest.raises(UnavailableError) as refusal:
        await bus.start()
    assert refusal.value.message == f"NATS at 127.0.0.1:{port} does not answer."
    assert PASSWORD not in caplog.text
    await bus.stop()


async def test_a_wrong_password_is_told_without_it(
    server: NatsServer, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_nats, "START_SECONDS", 0.3)
    with pytest.raises(UnavailableError) as refusal:
        await make_bus(nats_url=f"nats://storm:wrong-one@127.0.0.1:{server.port}")
    assert refusal.value.message.endswith("refuses user and password.")
    assert "wrong-one" not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://s3cret@h", "nats://", "nats://u:s3cret@h:port", ","])
def test_a_url_that_cannot_be_read_is_refused_without_repeating_it(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(ValueError, match="STORM_NATS_URL") as refusal:
        NatsBus(Config(data_dir=tmp_path, nats_url=url), "n", Metrics())
    assert "s3cret" not in str(refusal.value)


async def test_a_server_that_starts_after_the_node_is_waited_for(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "late")
    bus = Watched(Config(data_dir=tmp_path, nats_url=server.url))
    starting = asyncio.create_task(bus.start())
    await asyncio.sleep(0.3)
    assert not starting.done()
    await asyncio.to_thread(server.start)
    await starting
    assert bus.connected
    await bus.stop()
    server.stop()


async def test_of_several_servers_one_that_lives_is_found(
    server: NatsServer, make_bus: MakeBus
) -> None:
    bus = await make_bus(nats_url=f"nats://127.0.0.1:{free_port()}, {server.url}")
    await bus.probe(5)


# --- the server goes and comes back ---


async def test_after_a_crash_of_the_server_all_is_as_before_and_a_disruption_is_told(
    server: NatsServer, make_bus: MakeBus
) -> None:
    bus = await make_bus()
    heard: dict[str, list[Any]] = {TOPIC: [], CONTROL: [], "channels.2": [], "channels.3": []}
    for topic in (TOPIC, CONTROL, "channels.3"):
        await bus.subscribe(topic, heard[topic].append)
    await asyncio.to_thread(server.kill)
    await until(lambda: not bus.connected)
    with pytest.raises(UnavailableError):
        await bus.probe(1)
    await bus.subscribe("channels.2", heard["channels.2"].append)  # for when it is back
    await bus.unsubscribe("channels.3")
    bus.publish(TOPIC, event(1))
    bus.publish(TOPIC, event(2))
    await until(lambda: bus.errors("dropped_disconnected") == 2)
    assert bus.disruptions == 0, "told only once events flow again"
    await asyncio.to_thread(server.start)
    await until(lambda: bus.disruptions)
    assert bus.connected
    assert (bus.disruptions, bus.reconnects, bus.errors("disconnected")) == (1, 1, 1)
    lost = ControlEvent("access_lost", "alice", 1)
    bus.publish(CONTROL, lost)
    for number in (1, 2, 3):
        bus.publish(f"channels.{number}", event(3, number))
    await until(lambda: all(heard[topic] for topic in (TOPIC, CONTROL, "channels.2")))
    await bus.probe(5)
    assert heard == {
        TOPIC: [event(3)],
        CONTROL: [lost],
        "channels.2": [event(3, 2)],
        "channels.3": [],
    }


async def test_a_server_that_is_away_through_hundreds_of_tries_is_found_again(
    server: NatsServer, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_nats, "_BACKOFF_SECONDS", (0.001, 0.002))
    tries = 0
    connect = NatsBus._connect

    async def count(self: NatsBus) -> None:
        nonlocal tries
        tries += 1
        await connect(self)

    bus = await make_bus()
    monkeypatch.setattr(NatsBus, "_connect", count)
    await asyncio.to_thread(server.kill)
    await until(lambda: tries > 200, 60)
    await asyncio.to_thread(server.start)
    await until(lambda: bus.connected)
    await bus.probe(5)


async def test_a_frozen_server_is_noticed_and_found_again(
    server: NatsServer, make_bus: MakeBus, quick: None
) -> None:
    bus = await make_bus()
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)
    server.pause()
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        await bus.probe(0.1)
    assert time.monotonic() - began < 0.5
    with pytest.raises(UnavailableError):
        await bus.subscribe("channels.2", heard.append)
    await until(lambda: not bus.connected)
    server.resume()
    await until(lambda: bus.disruptions)
    bus.publish(TOPIC, event(1))
    bus.publish("channels.2", event(1, 2))
    await until(lambda: heard)
    await bus.probe(5)
    assert heard == [event(1)], "who was told that it failed is not subscribed"


async def test_a_frozen_server_full_of_what_it_did_not_take_is_left_for_another(
    server: NatsServer, make_bus: MakeBus, tmp_path: Path, quick: None
) -> None:
    other = NatsServer(tmp_path / "other")
    await asyncio.to_thread(other.start)
    bus = await make_bus()
    bus._addresses += bus_nats.addresses_of(other.url)
    server.pause()
    for seq in range(1, 400):  # more than the kernel's buffers hold
        bus.publish(TOPIC, event(seq, text="x" * 60_000))
        await asyncio.sleep(0)
    await until(lambda: bus.reconnects == 1)
    await bus.probe(5)
    assert bus._link is not None
    assert bus._link.address.url == other.url
    server.resume()
    await bus.stop()
    other.stop()


async def test_what_a_server_does_not_take_is_bounded_and_publish_does_not_wait(
    server: NatsServer, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await make_bus()
    monkeypatch.setattr(bus_nats, "_GATHER_BYTES", 1_000_000)
    server.pause()
    large = event(1, text="x" * 60_000)
    slowest = 0.0
    for _ in range(600):
        began = time.perf_counter()
        bus.publish(TOPIC, large)
        slowest = max(slowest, time.perf_counter() - began)
        await asyncio.sleep(0)
    assert bus.errors("dropped_full") > 0
    assert bus._gathered_bytes <= 1_000_000
    assert slowest < 0.1
    server.resume()


class Relay:
    """Between a node and its server; can swallow what the server says."""

    def __init__(self, port: int) -> None:
        self.mute = False
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1")
        port = self._server.sockets[0].getsockname()[1]
        return f"nats://storm:{PASSWORD}@127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(
                self._pass(reader, far_writer, lambda: True),
                self._pass(far_reader, writer, lambda: not self.mute),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            far_writer.close()

    @staticmethod
    async def _pass(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Callable[[], bool]
    ) -> None:
        while data := await reader.read(65_536):
            if passes():
                writer.write(data)
        raise ConnectionResetError


async def test_a_bus_that_takes_all_and_delivers_nothing_is_not_called_connected(
    server: NatsServer, make_bus: MakeBus, quick: None
) -> None:
    relay = Relay(server.port)
    bus = await make_bus(nats_url=await relay.start())
    relay.mute = True
    with pytest.raises(UnavailableError):
        await bus.probe(0.1)
    await until(lambda: not bus.connected)
    relay.mute = False
    await until(lambda: bus.connected)
    await bus.probe(5)
    assert bus.disruptions == 1
    await bus.stop()
    await relay.stop()


# --- slow consumers ---


async def test_a_node_that_the_server_drops_for_being_slow_comes_back_and_tells(
    make_bus: MakeBus, tmp_path: Path
) -> None:
    tight = NatsServer(tmp_path / "tight", max_pending=1024 * 1024)
    await asyncio.to_thread(tight.start)
    bus = await make_bus(nats_url=tight.url)
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)

    def flood() -> None:
        body = event(1, text="x" * 60_000).body
        line = b"PUB %b %d\r\n%b\r\n" % (TOPIC.encode(), len(body), body)
        with socket.create_connection(("127.0.0.1", tight.port)) as client:
            client.recv(4_096)
            client.sendall(b'CONNECT {"verbose":false}\r\n' + line * 400 + b"PING\r\n")
            client.settimeout(5)
            with contextlib.suppress(TimeoutError):
                while b"PONG" not in client.recv(4_096):
                    pass

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join()  # the loop of the node stands still meanwhile
    await until(lambda: bus.disruptions)
    assert bus.connected
    assert bus.reconnects == 1
    assert len(heard) < 400
    bus.publish(TOPIC, event(2))
    await until(lambda: heard[-1] == event(2))
    await bus.stop()
    tight.stop()


async def test_it_ends_also_when_the_end_meets_a_client_that_flushes(
    make_bus: MakeBus, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node does that is told to end while it finds its way back to a server."""
    flushing = asyncio.Event()

    async def swallow(_client: DirectClient, force_flush: bool = False) -> None:
        if asyncio.current_task() is bus._keeper:
            flushing.set()
        # What nats-py does with a cancellation that comes here.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    bus = await make_bus()
    await bus.subscribe(TOPIC, lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(DirectClient, "_flush_pending", swallow)
        server.kill()
        server.start()
        async with asyncio.timeout(30):
            await flushing.wait()
            patched.undo()
            await bus.stop()
    assert not bus.connected
