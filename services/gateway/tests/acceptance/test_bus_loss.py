"""A node whose bus goes away: what it says of itself, and what its clients notice."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from harness import Node

from storm_gateway import app
from storm_gateway.bus.nats import NatsBus
from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.stack.nats import NatsServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await asyncio.to_thread(server.start)
    yield server
    server.stop()


@pytest.fixture
async def node(
    server: NatsServer,
    start_node: Callable[..., Awaitable[Node]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Node:
    """Alone on its store, but with a real bus."""
    config = Config(data_dir=tmp_path, nats_url=server.url)
    monkeypatch.setattr(app, "_make_bus", lambda _, life, metrics: NatsBus(config, life, metrics))
    return await start_node(repair_seconds=0.3)


async def ready(node: Node) -> tuple[int, str, float]:
    began = time.monotonic()
    answer = await node.call(None, "GET", "/readyz")
    return answer.status_code, answer.text, time.monotonic() - began


async def becomes_ready(node: Node, status: int) -> None:
    async with asyncio.timeout(10):
        while (await ready(node))[0] != status:  # noqa: ASYNC110 asked as an orchestrator asks
            await asyncio.sleep(0.05)


async def test_readiness_follows_the_bus_within_ten_seconds(node: Node, server: NatsServer) -> None:
    await asyncio.to_thread(server.kill)
    await becomes_ready(node, 503)
    assert "bus does not answer" in (await ready(node))[1]
    await asyncio.to_thread(server.start)
    await becomes_ready(node, 200)


async def test_a_frozen_bus_is_seen_at_once_and_many_who_ask_share_the_question(
    node: Node, server: NatsServer
) -> None:
    probe, probes = node.gateway.bus.probe, 0

    async def count(seconds: float) -> None:
        nonlocal probes
        probes += 1
        await probe(seconds)

    node.gateway.bus.probe = count  # type: ignore[method-assign]
    server.pause()
    answers = await asyncio.gather(*(ready(node) for _ in range(30)))
    assert {(status, "bus" in text) for status, text, _ in answers} == {(503, True)}
    assert max(seconds for *_, seconds in answers) < 2.8
    assert probes <= 3, "connections of one moment do not all arrive in one"
    server.resume()
    await becomes_ready(node, 200)


async def test_while_the_bus_is_away_messages_are_accepted_and_come_a_little_later(
    node: Node, server: NatsServer
) -> None:
    channel = await node.channel("alice", "the room", "private", ("bob",))
    alice, bob = await node.join("alice"), await node.join("bob")
    for peer in (alice, bob):
        await peer.subscribe(channel)
    await asyncio.to_thread(server.kill)
    for number in range(20):
        await alice.say(channel, f"away {number}")
    await bob.until("message", payload="away 19")
    await asyncio.to_thread(server.start)
    await becomes_ready(node, 200)
    await alice.say(channel, "back")
    await bob.until("message", payload="back")
    texts = [event["payload"] for event in bob.events if event["type"] == "message"]
    assert texts == [*[f"away {number}" for number in range(20)], "back"]


async def test_who_is_revoked_while_the_bus_is_away_is_cut_all_the_same(
    node: Node, server: NatsServer
) -> None:
    bob, carol = await node.join("bob"), await node.join("carol")
    await asyncio.to_thread(server.kill)
    # As another node does it: only the store hears of it.
    await node.gateway.store.tokens.revoke_user("bob", time.time() + 1)
    assert (await bob.closed()).code == 4500
    assert (await carol.ask("ping"))["type"] == "pong"


async def test_who_is_removed_while_the_bus_is_away_receives_nothing_after_it(
    node: Node, server: NatsServer
) -> None:
    channel = await node.channel("alice", "the room", "private", ("bob", "carol"))
    alice, bob, carol = [await node.join(name) for name in ("alice", "bob", "carol")]
    for peer in (bob, carol):
        await peer.subscribe(channel)
    await asyncio.to_thread(server.kill)
    await node.want("alice", "DELETE", f"/channels/{channel}/members/bob")
    await alice.say(channel, "not for bob")
    await carol.until("message", payload="not for bob")
    await bob.until("member.left", user_id="bob")
    await bob.ask("ping")
    assert "not for bob" not in str(bob.events)


async def test_a_revocation_that_falls_into_a_disruption_is_carried_out_after_it(
    node: Node, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the store was away in that moment."""
    bob = await node.join("bob")
    gateway = node.gateway
    recover, failures = gateway.actions.recover, 0

    async def fail_first() -> None:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise UnavailableError("The store is away.")
        await recover()

    monkeypatch.setattr(gateway.actions, "recover", fail_first)
    await gateway.store.tokens.revoke_user("bob", time.time() + 1)
    gateway._disrupted()
    assert (await bob.closed()).code == 4500
    assert failures >= 2


async def test_what_fails_in_one_second_of_the_clock_does_not_end_the_repairs(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")

    def fail() -> None:
        raise RuntimeError("a second of its own kind")

    monkeypatch.setattr(node.gateway.edge, "second", fail)
    async with asyncio.timeout(10):
        while "a second of the node's clock failed" not in caplog.text:  # noqa: ASYNC110 a log
            await asyncio.sleep(0.05)
    monkeypatch.setattr(node.gateway.bus, "publish", lambda topic, event: None)
    await alice.say(1, "lost by the bus")
    await alice.until("message", payload="lost by the bus")
