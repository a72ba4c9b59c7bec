"""Nobody receives what is not theirs, while everybody comes and goes."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable

from harness import Closed, Event, Node, all_of

Start = Callable[..., Awaitable[Node]]

USERS = 50
CHANNELS = 25
SECONDS = 5.0
CONNECTIONS = 200


async def test_every_byte_belongs_to_its_reader_while_connections_come_and_go(
    start_node: Start,
) -> None:
    node = await start_node()
    chance = random.Random(20)
    users = [f"user{n}" for n in range(USERS)]
    members: dict[int, set[str]] = {}
    await all_of(*(node.know(user) for user in users))
    for number in range(CHANNELS):
        team = chance.sample(users, 6)
        channel = await node.channel(team[0], f"team {number}", "private", team[1:])
        members[channel] = set(team)
    mine = {user: [c for c, team in members.items() if user in team] for user in users}
    until = time.monotonic() + SECONDS
    received = sent = opened = 0

    def check(user: str, event: Event) -> None:
        """Every event names only what this user may know."""
        nonlocal received
        received += 1
        if event["type"] == "hello":
            assert event["user_id"] == user
        elif event["type"] == "heartbeat":
            assert {int(key) for key in event["heads"]} <= set(mine[user])
        elif event["type"] == "error":
            assert event["code"] == "not_found", event
            assert event["ref"].startswith(f"{user}-foreign")
        elif "channel_id" in event:
            channel = event["channel_id"]
            assert user in members[channel], f"{user} got {event}"
            if event["type"] == "message":
                said = json.loads(event["payload"])
                assert said["channel"] == channel
                assert said["by"] == event["user_id"]
                assert event["user_id"] in members[channel]
            elif event["type"] == "presence":
                named = [n for key in ("users", "joined", "left") for n in event.get(key) or ()]
                assert set(named) <= members[channel]
        else:
            assert event["type"] == "pong", event
        if event["type"] == "ack":
            assert event["ref"].startswith(f"{user}-"), f"{user} got the ack {event}"

    async def churn(number: int) -> None:
        nonlocal sent, opened
        own = random.Random(number)
        user = users[number % USERS]
        while time.monotonic() < until:
            peer = await node.join(user)
            opened += 1
            for event in peer.events:
                check(user, event)
            for channel in own.sample(mine[user], len(mine[user])):
                peer.send("subscribe", channel_id=channel, since=own.choice([None, 0, 5]))
            foreign = own.choice([c for c in members if c not in mine[user]])
            peer.send("subscribe", channel_id=foreign, ref=f"{user}-foreign")
            peer.send("message", channel_id=foreign, payload="x", ref=f"{user}-foreign-m")
            for count in range(own.randint(1, 4)):
                if mine[user]:
                    channel = own.choice(mine[user])
                    text = json.dumps({"channel": channel, "by": user})
                    ref = f"{user}-{number}-{time.monotonic_ns()}-{count}"
                    peer.send("message", channel_id=channel, payload=text, ref=ref)
                    sent += 1
            stay = own.uniform(0.1, 1.0)
            try:
                async with asyncio.timeout(stay):
                    while True:
                        check(user, await peer.next())
            except TimeoutError:
                pass
            except Closed as end:
                raise AssertionError(f"{user} was closed: {end}") from end
            await peer.drop()

    async with asyncio.timeout(SECONDS + 40):
        await all_of(*(churn(number) for number in range(CONNECTIONS)))
    # Otherwise nothing was tested.
    assert opened > CONNECTIONS
    assert sent > 500
    assert received > 5 * sent
    await node.metric_becomes("storm_active_websockets", lambda value: value == 0)
    assert await node.metric("storm_subscriptions") == 0
    assert await node.metric("storm_outbox_bytes") == 0
