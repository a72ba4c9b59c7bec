"""Pings, silence, heartbeats, and the end of tokens."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from harness import PING, PONG, TEXT, Node, Peer, all_of, frame, token

Start = Callable[..., Awaitable[Node]]


@pytest.fixture
async def impatient(start_node: Start) -> Node:
    """A node that notices silence within seconds."""
    return await start_node(ping_seconds=1, dead_seconds=2, heartbeat_seconds=1)


async def test_the_server_pings_and_whoever_answers_lives(impatient: Node) -> None:
    peer = await impatient.join("alice")
    async with asyncio.timeout(15):
        while peer.pings < 4:  # beyond dead_seconds
            await peer.next()  # heartbeats
    assert (await peer.ask("ping"))["type"] == "pong"


async def test_a_ping_of_the_client_is_answered_with_its_payload(node: Node) -> None:
    peer = await node.join("alice")
    peer.write(frame(PING, b"") + frame(PING, b"hello") + frame(PING, bytes(125)))
    await peer.ask("ping")
    assert peer.pongs == [b"", b"hello", bytes(125)]


async def test_silence_ends_a_connection_with_4000(impatient: Node) -> None:
    peer = await impatient.join("alice")
    peer.answers_pings = False
    end = await peer.closed()
    assert end.code == 4000
    assert peer.pings >= 1
    await impatient.metric_becomes("storm_active_websockets", lambda value: value == 0)


async def test_any_bytes_keep_a_connection_alive(impatient: Node) -> None:
    command = frame(TEXT, b'{"type":"ping"}')
    signs = {
        "pong": (frame(PONG, b"unasked"),),
        "ping": (frame(PING, b""),),
        "command": (command,),
        "nonsense": (frame(TEXT, b"not even a command"),),
        "a frame in pieces": tuple(command[i : i + 4] for i in range(0, len(command), 4)),
    }

    async def live_on(user_id: str, pieces: tuple[bytes, ...]) -> None:
        peer = await impatient.join(user_id.replace(" ", "-"))
        peer.answers_pings = False
        # Five heartbeats are five seconds, more than twice what silence may last.
        for number in range(5):
            await peer.until("heartbeat")
            peer.write(pieces[number % len(pieces)])
        peer.write(b"".join(pieces[5:]))
        assert (await peer.ask("ping"))["type"] == "pong"

    await all_of(*(live_on(name, pieces) for name, pieces in signs.items()))


async def test_the_heartbeat_tells_the_newest_seq_of_each_channel(impatient: Node) -> None:
    quiet = await impatient.channel("alice", "quiet")
    alice = await impatient.join("alice", "/ws?channel_id=1")
    await alice.subscribe(quiet)
    for number in range(3):
        last = await alice.say(1, f"{number}")
    heartbeat = await alice.until("heartbeat", where=lambda e: e["heads"].get("1") == last["seq"])
    assert heartbeat["heads"] == {"1": last["seq"], str(quiet): 1}
    await alice.ask("unsubscribe", channel_id=1)
    await alice.until("heartbeat", heads={str(quiet): 1})


async def test_many_heartbeats_of_a_second_do_not_come_all_at_once(start_node: Start) -> None:
    node = await start_node(ping_seconds=1, dead_seconds=60, heartbeat_seconds=1)
    loop = asyncio.get_running_loop()
    peers = await all_of(*(node.join(f"user-{number}") for number in range(300)))

    async def next_heartbeat(peer: Peer) -> float:
        await peer.until("heartbeat")
        return loop.time()

    async def spread() -> float:
        await all_of(*(peer.ask("ping") for peer in peers))
        for peer in peers:
            peer.inbox.clear()
        moments = await all_of(*map(next_heartbeat, peers))
        return max(moments) - min(moments)

    # Five portions, 200 ms apart. A machine that stood still meanwhile hides it, but not each time.
    assert max([await spread() for _ in range(3)]) > 0.15


async def test_a_token_is_announced_to_end_and_its_end_closes_with_4002(start_node: Start) -> None:
    node = await start_node(ping_seconds=1, dead_seconds=60, token_expiring_seconds=2)
    peer = await node.open(headers={"Authorization": f"Bearer {token('alice', 3.5)}"})
    expiring = await peer.until("token.expiring")
    assert 1 <= expiring["expires_in"] <= 2
    assert (await peer.closed()).code == 4002
    assert len(peer.of("token.expiring")) == 1


async def test_authenticate_renews_the_token_of_a_live_connection(start_node: Start) -> None:
    node = await start_node(ping_seconds=1, dead_seconds=60, token_expiring_seconds=2)
    renewed = await node.open("/ws?channel_id=1", {"Authorization": f"Bearer {token('alice', 3)}"})
    fellow = await node.open("/ws?channel_id=1", {"Authorization": f"Bearer {token('bob', 3)}"})
    await renewed.until("token.expiring")
    assert (await renewed.ask("authenticate", token=token("alice")))["type"] == "ack"
    assert (await fellow.closed()).code == 4002
    await renewed.say(1, "still here")
    assert (await renewed.until("message"))["payload"] == "still here"


async def test_no_token_but_a_good_one_of_the_same_user_renews(start_node: Start) -> None:
    node = await start_node(ping_seconds=1, dead_seconds=60, token_expiring_seconds=1)
    await node.know("alice")
    ticket = (await node.want("alice", "POST", "/auth/ticket"))["token"]
    peer = await node.open(headers={"Authorization": f"Bearer {token('alice', 3)}"})
    for bad in (
        token("bob"),
        token("alice", -1),
        token("alice", secret="another secret that is long enough too"),
        ticket,
        "",
        "no token at all",
    ):
        error = await peer.ask("authenticate", token=bad)
        assert (error["type"], error["code"]) == ("error", "unauthenticated"), bad
        assert not bad or bad not in error["message"]
    assert (await peer.closed()).code == 4002
