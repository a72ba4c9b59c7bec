"""The client over a bad network: whatever breaks, each event comes once and in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from client_relay import Relay
from harness import Node, Process, token

from storm_gateway.client import (
    Backfilled,
    Connected,
    Disconnected,
    GatewayClient,
    SubscriptionLost,
)
from storm_gateway.client.backoff import Backoff
from storm_gateway.protocol.events import Hello, MessageEvent

Nodes = Callable[..., Awaitable[Node]]


@pytest.fixture
async def relay(node: Node) -> AsyncIterator[Relay]:
    async with Relay(node.port) as relay:
        yield relay


def client_of(server: Relay | Node, user_id: str = "alice", **options: object) -> GatewayClient:
    return GatewayClient(
        server.url,
        token=token(user_id),
        backoff=Backoff(first_seconds=0.01, longest_seconds=0.1),
        **options,  # type: ignore[arg-type]
    )


async def texts(client: GatewayClient, count: int) -> list[str]:
    """The next messages; checks that seq rises."""
    found: list[str] = []
    last = 0
    async with asyncio.timeout(20):
        async for event in client.events():
            if isinstance(event, MessageEvent):
                assert event.seq > last
                last = event.seq
                found.append(event.payload)
                if len(found) == count:
                    return found
    raise AssertionError(f"the events ended after {found}")


async def until(client: GatewayClient, kind: type) -> object:
    async with asyncio.timeout(20):
        async for event in client.events():
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the events ended without {kind.__name__}")


async def test_a_client_receives_what_it_and_others_say(node: Node) -> None:
    async with client_of(node) as alice, client_of(node, "bob") as bob:
        await alice.subscribe(1)
        ack = await bob.send(1, "Hello")
        await alice.send(1, "Hello yourself")
        assert await texts(alice, 2) == ["Hello", "Hello yourself"]
        assert ack.seq is not None
        assert (alice.user_id, bob.user_id) == ("alice", "bob")
        assert alice.limits.payload_characters == 4_000
        assert alice.position(1) == ack.seq + 1
        assert alice.trouble is None


async def test_what_was_said_while_the_connection_was_broken_comes_once_and_in_order(
    node: Node, relay: Relay
) -> None:
    async with client_of(relay) as alice, client_of(node, "bob") as bob:
        await alice.subscribe(1)
        said = []
        for number in range(30):
            if number % 10 == 5:
                relay.cut()
            await bob.send(1, f"message {number}")
            said.append(f"message {number}")
        assert await texts(alice, 30) == said


async def test_a_send_whose_ack_was_lost_is_repeated_with_its_ref_and_stored_once(
    node: Node, relay: Relay
) -> None:
    async with client_of(relay) as alice:
        relay.cut_after = lambda event: event["type"] == "ack"
        ack = await alice.send(1, "only once", ref="chosen")
        assert relay.cut_after is None
        again = await alice.send(1, "only once", ref="chosen")
    assert (ack.id, ack.seq) == (again.id, again.seq)
    assert [row["payload"] for row in await node.history("alice", 1)] == ["only once"]


async def test_many_sends_over_many_breaks_are_all_stored_once(node: Node, relay: Relay) -> None:
    async with client_of(relay) as alice:

        async def breaks() -> None:
            while True:
                await asyncio.sleep(0.05)
                relay.cut()

        breaking = asyncio.create_task(breaks())
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            sends = [group.create_task(alice.send(1, f"message {n}")) for n in range(300)]
        breaking.cancel()
    rows = await node.history("alice", 1)
    assert sorted(row["payload"] for row in rows) == sorted(f"message {n}" for n in range(300))
    assert {row["seq"] for row in rows} == {task.result().seq for task in sends}


async def test_a_frame_that_was_lost_is_seen_by_the_next_one_and_mended(
    node: Node, relay: Relay
) -> None:
    async with client_of(relay) as alice, client_of(node, "bob") as bob:
        await alice.subscribe(1)
        relay.losing = lambda event: (
            event.get("payload") in ("two", "three") and len(relay.lost) < 2
        )
        for word in ("one", "two", "three", "four", "five"):
            await bob.send(1, word)
        assert await texts(alice, 5) == ["one", "two", "three", "four", "five"]
        assert len(relay.lost) == 2


async def test_a_last_frame_that_was_lost_is_seen_by_the_heartbeat(start_node: Nodes) -> None:
    node = await start_node(heartbeat_seconds=1)
    async with Relay(node.port) as relay, client_of(relay) as alice:
        await alice.subscribe(1)
        relay.losing = lambda event: event.get("payload") == "last" and not relay.lost
        async with client_of(node, "bob") as bob:
            await bob.send(1, "last")
        assert await texts(alice, 1) == ["last"]
        assert len(relay.lost) == 1


@pytest.mark.parametrize("count", [30, 450])
async def test_more_than_the_server_replays_comes_from_history_and_nothing_is_missing(
    start_node: Nodes, count: int
) -> None:
    node = await start_node(replay_events=10, recent_events=0)
    async with Relay(node.port) as relay, client_of(relay) as alice:
        await alice.subscribe(1)
        relay.open = False
        relay.cut()
        assert isinstance(await until(alice, Disconnected), Disconnected)
        async with client_of(node, "bob") as bob, asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(bob.send(1, f"message {number}"))
        relay.open = True
        seqs: list[int] = []
        notices: list[Backfilled] = []
        async with asyncio.timeout(30):
            async for event in alice.events():
                if isinstance(event, Backfilled):
                    notices.append(event)
                elif isinstance(event, MessageEvent):
                    seqs.append(event.seq)
                    if len(seqs) == count:
                        break
        assert seqs == list(range(seqs[0], seqs[0] + count))
        assert notices[0].first == seqs[0]
        assert notices[0].last < seqs[-1]


async def test_a_subscription_since_the_beginning_brings_everything(node: Node) -> None:
    async with client_of(node) as alice:
        for number in range(20):
            await alice.send(1, f"message {number}")
        await alice.subscribe(1, since=0)
        assert await texts(alice, 20) == [f"message {number}" for number in range(20)]


async def test_a_node_that_is_killed_and_started_again_is_resumed(
    start_process: Callable[..., Awaitable[Process]],
) -> None:
    first = await start_process()
    async with Relay(first.port) as relay, client_of(relay) as alice:
        await alice.subscribe(1)
        await alice.send(1, "before")
        assert await texts(alice, 1) == ["before"]
        await first.kill()
        sending = asyncio.create_task(alice.send(1, "while it was away"))
        assert isinstance(await until(alice, Disconnected), Disconnected)
        second = await start_process()
        relay.target = second.port
        await sending
        assert await texts(alice, 1) == ["while it was away"]
        assert len(await second.history("alice", 1)) == 2


async def test_a_drain_moves_the_client_at_the_servers_time_and_loses_nothing(
    start_node: Nodes,
) -> None:
    first, second = await start_node(drain_seconds=0.5), None
    async with Relay(first.port) as relay, client_of(relay) as alice:
        await alice.subscribe(1)
        assert await until(alice, Connected) == Connected(
            alice._link.hello.connection_id if isinstance(alice._link.hello, Hello) else "",
            "alice",
            again=False,
        )
        await alice.send(1, "before")
        first.end()
        await first.stop()
        second = await start_node(data_dir=first.config.data_dir)
        relay.target = second.port
        await alice.send(1, "after")
        assert await texts(alice, 2) == ["before", "after"]


async def test_a_server_that_falls_silent_is_left(start_node: Nodes) -> None:
    node = await start_node(ping_seconds=1, dead_seconds=2, heartbeat_seconds=1)
    async with Relay(node.port) as relay, client_of(relay) as alice:
        await alice.subscribe(1)
        relay.flowing.clear()
        sending = asyncio.create_task(alice.send(1, "into the void"))
        lost = await until(alice, Disconnected)
        assert isinstance(lost, Disconnected)
        assert lost.reason == "the server is silent"
        relay.flowing.set()
        await sending
        assert await texts(alice, 1) == ["into the void"]


async def test_a_slow_reader_of_events_makes_the_server_wait_and_loses_nothing(
    start_node: Nodes,
) -> None:
    node = await start_node(outbox_close_bytes=16_384, outbox_ephemeral_bytes=4_096)
    text = "x" * 3_000
    async with client_of(node, queue_size=10) as alice, client_of(node, "bob") as bob:
        await alice.subscribe(1)
        async with asyncio.TaskGroup() as group:
            for number in range(1_500):
                group.create_task(bob.send(1, f"{number} {text}"))
        assert len(alice._buffer._items) <= 10
        seqs = []
        async with asyncio.timeout(60):
            async for event in alice.events():
                if isinstance(event, MessageEvent):
                    seqs.append(event.seq)
                    if len(seqs) == 1_500:
                        break
        assert seqs == list(range(1, 1_501))


@pytest.mark.parametrize("queue_size", [1, 3])
async def test_a_bot_that_answers_within_its_loop_never_waits_for_itself(
    node: Node, queue_size: int
) -> None:
    async with client_of(node, "bot", queue_size=queue_size) as bot, client_of(node) as alice:
        await bot.subscribe(1)
        await alice.subscribe(1)

        async def answer() -> None:
            async for event in bot.events():
                if isinstance(event, MessageEvent) and event.user_id == "alice":
                    await bot.send(1, f"re: {event.payload}")

        answering = asyncio.create_task(answer())
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(alice.send(1, f"{number}"))
        found = await texts(alice, 200)
        answering.cancel()
        questions = [text for text in found if not text.startswith("re: ")]
        assert [text for text in found if text.startswith("re: ")] == [
            f"re: {q}" for q in questions
        ]
        assert sorted(questions, key=int) == [f"{number}" for number in range(100)]


async def test_a_channel_that_was_closed_to_the_client_meanwhile_is_told(
    node: Node, relay: Relay
) -> None:
    secret = await node.channel("bob", "secret", "private", ["alice"])
    async with client_of(relay) as alice:
        await alice.subscribe(secret)
        relay.open = False
        relay.cut()
        await node.want("bob", "DELETE", f"/channels/{secret}/members/alice")
        relay.open = True
        lost = await until(alice, SubscriptionLost)
        assert isinstance(lost, SubscriptionLost)
        assert (lost.channel_id, lost.code) == (secret, "not_found")
        assert alice.position(secret) is None
