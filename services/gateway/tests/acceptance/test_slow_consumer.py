"""A slow client hurts only itself, and loses nothing."""

from collections.abc import Awaitable, Callable

from harness import Node, all_of, token

Start = Callable[..., Awaitable[Node]]
TEXT_OF_4_KB = "x" * 4000


async def _slow_node(start_node: Start) -> Node:
    return await start_node(
        outbox_ephemeral_bytes=64 * 1024, outbox_close_bytes=256 * 1024, replay_events=10_000
    )


async def test_a_reader_that_stops_is_closed_with_4001_and_has_lost_nothing_after_it_resumed(
    start_node: Start,
) -> None:
    node = await _slow_node(start_node)
    slow = await node.join("slow", "/ws?channel_id=1", receive_buffer=8 * 1024)
    readers = await all_of(*(node.join(f"reader{n}", "/ws?channel_id=1") for n in range(5)))
    sender = await node.join("sender")
    seqs: list[int] = []
    # Until the node has enough of it; the kernel takes some megabytes at most.
    while await node.metric("storm_slow_consumers_closed_total") == 0:
        assert len(seqs) < 20_000, "the outbox has no bound"
        for _ in range(100):
            sender.send("message", channel_id=1, payload=TEXT_OF_4_KB)
        seqs.append((await sender.say(1, TEXT_OF_4_KB))["seq"])
        await all_of(*(reader.until("message", seq=seqs[-1]) for reader in readers))
    head = (await sender.say(1, "the end"))["seq"]
    await all_of(*(reader.until("message", seq=head) for reader in readers))
    first = readers[-1].of("message")[0]["seq"]
    for reader in readers:
        assert [e["seq"] for e in reader.of("message")] == list(range(first, head + 1))
    # What waited for the slow one is given back at once.
    assert await node.metric_becomes("storm_outbox_bytes", lambda value: value == 0) == 0
    end = await slow.closed()
    # The close frame stands at the end of what the kernel took; a reset says it too.
    assert end.code in (4001, 1006)
    if end.code == 4001:
        assert "resume" in end.reason
    got = [event["seq"] for event in slow.events if "seq" in event]
    assert got == list(range(got[0], got[0] + len(got)))
    again = await node.join("slow")
    await again.subscribe(1, since=got[-1])
    await again.until("message", seq=head)
    rest = [event["seq"] for event in again.events if "seq" in event]
    assert rest == list(range(got[-1] + 1, head + 1))


async def test_ephemeral_events_are_dropped_before_a_connection_is(start_node: Start) -> None:
    node = await start_node(outbox_ephemeral_bytes=4 * 1024, outbox_close_bytes=64 * 1024 * 1024)
    slow = await node.join("slow", "/ws?channel_id=1", receive_buffer=8 * 1024)
    sender = await node.join("sender")
    sent = 0
    while await node.metric("storm_outbox_bytes") == 0:
        for _ in range(200):
            sender.send("message", channel_id=1, payload=TEXT_OF_4_KB)
        await sender.say(1, TEXT_OF_4_KB)
        sent += 201
        assert sent < 20_000
    reader = await node.join("reader", "/ws?channel_id=1")
    await sender.ask("typing", channel_id=1)
    await reader.until("typing", user_id="sender")
    fence = await sender.say(1, "fence")
    await node.metric_becomes("storm_ephemeral_dropped_total", lambda value: value >= 1)
    # It reads again: every message is there, and the typing is not.
    await slow.until("message", seq=fence["seq"], timeout=30)
    got = [event["seq"] for event in slow.events if "seq" in event]
    assert got == list(range(got[0], fence["seq"] + 1))
    assert len(slow.of("message")) == sent + 1
    assert not slow.of("typing")
    assert await node.metric("storm_slow_consumers_closed_total") == 0
    await node.metric_becomes("storm_outbox_bytes", lambda value: value == 0)


async def test_memory_of_a_slow_client_is_bounded_while_it_is_slow(start_node: Start) -> None:
    node = await _slow_node(start_node)
    slow = await node.open(
        "/ws?channel_id=1", {"Authorization": f"Bearer {token('slow')}"}, receive_buffer=8 * 1024
    )
    await slow.until("subscribed")
    sender = await node.join("sender")
    most = 0
    while node.gateway.edge.slow_consumers == 0:
        for _ in range(20):
            sender.send("message", channel_id=1, payload=TEXT_OF_4_KB)
        await sender.say(1, TEXT_OF_4_KB)
        most = max(most, node.gateway.edge.outbox_bytes)
    # The bound, and at most one batch of the fan-out above it.
    assert 64 * 1024 < most <= 256 * 1024 + 22 * 4200
    assert node.gateway.edge.outbox_bytes == 0
