"""Several nodes on one database: what they do at once is done once, in one order, by all."""

import asyncio
import contextlib
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from store_harness import GENERAL, Harness, allow, start
from store_postgres import Databases
from store_senders import Senders, check, until

from storm_gateway.config import Config
from storm_gateway.errors import StormError
from storm_gateway.store.records import Appended
from storm_gateway.store.upgrade import bring_up_to_date


@pytest.fixture
def store_kind() -> str:
    return "postgresql"


@pytest.fixture
async def nodes(open_store: Any) -> list[Harness]:
    """Two nodes on one database."""
    return [await open_store(), await open_store()]


async def test_two_nodes_write_to_the_same_channels_without_holes_or_deadlock(
    nodes: list[Harness],
) -> None:
    one, two = nodes
    made = [await one.store.channels.create(name, "public", "", "root") for name in "abc"]
    channels = [GENERAL, *[channel.id for channel in made]]
    for node in nodes:
        node.said.clear()
    pick = random.Random(7)
    senders = [
        Senders(node, name, 15, pick.sample(channels, len(channels)))
        for node, name in ((one, "one"), (two, "two"))
    ]

    async def change(node: Harness, name: str) -> int:
        done = 0
        for number in range(60):
            channel_id = pick.choice(channels)
            mine = await node.append(channel_id, name, f"{name} to change {number}")
            messages = node.store.messages
            at = (channel_id, mine.event.id, name)
            await messages.react(*at, "+", add=True, ref=None, rule=allow)
            await messages.edit(*at, f"{name} changed {number}", None, allow)
            await node.join(channel_id, f"{name}-{number % 7}")
            with contextlib.suppress(StormError):
                await node.store.channels.leave(channel_id, f"{name}-{(number + 3) % 7}")
            done += 1
        return done

    assert (
        await asyncio.gather(
            *[change(node, f"changer-{at}-{i}") for at, node in enumerate(nodes) for i in range(3)]
        )
        == [60] * 6
    )
    await until(lambda: min(len(each.acked) for each in senders) > 300, 30)
    for each in senders:
        await each.stop()
        assert each.refused == []
    await check(one, senders[0].acked | senders[1].acked)
    for channel_id in channels:
        log = await one.log(channel_id)
        assert log == await two.log(channel_id)
        told = [[event.seq for event in node.events_of(channel_id)] for node in nodes]
        # Each node told what it wrote, in order; together they told all, once.
        assert all(seqs == sorted(seqs) for seqs in told)
        first = 1 if channel_id == GENERAL else 2
        assert sorted(told[0] + told[1]) == list(range(first, len(log) + 1))
        view = await one.store.channels.get(channel_id)
        members = await one.store.channels.members(channel_id, limit=1000)
        assert view.member_count == len(members)


async def test_the_same_ref_on_two_nodes_at_once_is_stored_once(nodes: list[Harness]) -> None:
    for number in range(30):
        results: list[Appended] = await asyncio.gather(
            *[node.send(GENERAL, "alice", f"{number}", ref=f"r{number}") for node in nodes * 2]
        )
        assert len({(result.event.id, result.event.seq) for result in results}) == 1
        assert sorted(result.repeated for result in results) == [False, True, True, True]
    assert [event.payload for event in await nodes[0].log(GENERAL)] == [str(n) for n in range(30)]


async def test_of_two_nodes_that_do_the_same_at_once_one_does_it(nodes: list[Harness]) -> None:
    for number in range(15):
        user, name = f"user{number}", f"name{number}"
        joined = await asyncio.gather(*[node.enter(GENERAL, user) for node in nodes])
        assert sorted(each.created for each in joined) == [False, True]
        made = await asyncio.gather(
            *[node.store.channels.create(name, "public", "", user) for node in nodes],
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in made) == ["Channel", "NameTakenError"]
        people = await asyncio.gather(*[node.store.users.ensure(f"new{number}") for node in nodes])
        assert people[0] == people[1]
        direct = await asyncio.gather(
            nodes[0].store.channels.direct(user, f"new{number}"),
            nodes[1].store.channels.direct(f"new{number}", user),
        )
        assert direct[0][0].id == direct[1][0].id
        assert sorted(new for _, new in direct) == [False, True]
    assert (await nodes[0].store.channels.get(GENERAL)).member_count == 15


async def test_a_token_used_on_two_nodes_at_once_has_one_successor(nodes: list[Harness]) -> None:
    now = time.time()
    for number in range(15):
        tokens = [node.store.tokens for node in nodes]
        old, new = f"old{number}".encode(), f"new{number}".encode()
        await tokens[0].save(old, f"family{number}", "alice", now + 100)
        found = await asyncio.gather(*[each.rotate(old, new, now + 100, now) for each in tokens])
        assert sorted(each.outcome for each in found) == ["again", "rotated"]
        # A log-out that meets a swap leaves nothing behind, whoever is first.
        await asyncio.gather(
            tokens[0].revoke(new), tokens[1].rotate(new, b"x" + new, now + 100, now)
        )
        for token in (old, new, b"x" + new):
            assert (await tokens[0].rotate(token, b"?", now + 100, now)).outcome == "unknown"


async def test_a_deleted_user_remains_in_no_channel_that_is_joined_meanwhile(
    nodes: list[Harness],
) -> None:
    for number in range(15):
        user_id = f"user{number}"
        await nodes[0].people(user_id)
        await asyncio.gather(
            nodes[0].store.users.delete(user_id),
            nodes[1].enter(GENERAL, user_id),
            return_exceptions=True,
        )
        assert await nodes[0].access(GENERAL, user_id) is not None
        assert (await nodes[0].access(GENERAL, user_id)).standing is None
    assert (await nodes[0].store.channels.get(GENERAL)).member_count == 0


async def test_nodes_that_start_together_make_the_tables_once(databases: Databases) -> None:
    url = await asyncio.to_thread(databases.make, "template0")
    found = await asyncio.gather(
        *[asyncio.to_thread(bring_up_to_date, Config(database_url=url)) for _ in range(6)]
    )
    assert sorted(before or "" for before, _ in found) == ["", *["0005"] * 5]
    harness = await start(database_url=url)
    channel = await harness.store.channels.create("next", "public", "", "alice")
    assert channel.id == 2
    await harness.store.stop()
    await asyncio.to_thread(databases.drop, url)


async def test_nodes_that_are_killed_lose_no_acked_message(
    databases: Databases, store_settings: dict[str, Any]
) -> None:
    acked: dict[str, tuple[int, int, int]] = {}
    pick = random.Random(5)

    async def run_and_kill(name: str) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("store_child.py")),
            store_settings["database_url"],
            name,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        lines = [await child.stdout.readline() for _ in range(pick.randrange(100, 800))]
        # Somewhere in the midst of its commits.
        child.kill()
        lines.extend((await child.stdout.read()).splitlines(keepends=True))
        await child.wait()
        for line in lines:
            if line.endswith(b"\n"):
                id_, seq, user_id, ref = line.decode().split()
                acked[f"{user_id} {ref}"] = (GENERAL, int(seq), int(id_))

    for round_ in range(2):
        await asyncio.gather(*[run_and_kill(f"{round_}{name}") for name in "ab"])
    assert len(acked) > 400
    harness = await start(**store_settings)
    await check(harness, acked)
    # A sender that heard nothing tries again and gets what was stored, if it was.
    last = next(reversed(await harness.log(GENERAL)))
    user_id, ref = last.payload.split()
    again = await harness.append(GENERAL, user_id, last.payload, ref=ref)
    assert (again.repeated, again.event) == (True, last)
    await harness.store.stop()
