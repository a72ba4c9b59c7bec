"""PostgreSQL: a row that somebody else has locked holds up those who need it, and nobody else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from store_harness import GENERAL, Harness, allow
from store_senders import Senders, check, until

from storm_gateway.errors import StormError, UnavailableError

TIMEOUT_SECONDS = 3
"""The default of STORM_STORE_TIMEOUT_SECONDS."""


@pytest.fixture
def store_kind() -> str:
    return "postgresql"


@contextlib.asynccontextmanager
async def holding(harness: Harness, statement: str, *values: Any) -> AsyncIterator[None]:
    """Another session of the database keeps the locks that this statement took."""
    connection = await asyncpg.connect(harness.config.database_url)
    try:
        async with connection.transaction():
            await connection.execute(statement, *values)
            yield
    finally:
        await connection.close()


def locked(harness: Harness, channel_id: int) -> Any:
    """Another session holds this channel's row."""
    return holding(harness, "SELECT 1 FROM channels WHERE id = $1 FOR UPDATE", channel_id)


async def channels_of(harness: Harness, count: int) -> list[int]:
    await harness.people("owner")
    made = [
        await harness.store.channels.create(f"channel {n}", "public", "", "owner")
        for n in range(count)
    ]
    return [channel.id for channel in made]


async def longest_silence(senders: Senders, seconds: float) -> float:
    """The longest time without a new acknowledgement."""
    count, last = len(senders.acked), time.monotonic()
    end, longest = last + seconds, 0.0
    while (now := time.monotonic()) < end:
        await asyncio.sleep(0.01)
        if len(senders.acked) > count:
            count, last = len(senders.acked), now
        longest = max(longest, time.monotonic() - last)
    return longest


async def test_the_other_channels_go_on_while_one_is_locked_and_it_comes_back_at_once(
    open_store: Any,
) -> None:
    harness = await open_store()
    stuck, *others = await channels_of(harness, 6)
    senders = Senders(harness, "other", 20, others)
    waiting = Senders(harness, "waiting", 10, [stuck])
    await until(lambda: len(senders.acked) > 100 and len(waiting.acked) > 20)
    async with locked(harness, stuck):
        acked = len(waiting.acked)
        assert await longest_silence(senders, 5) < 1
        assert len(waiting.acked) - acked <= 10  # those that were under way
        assert waiting.refused
        assert not senders.refused
        assert waiting.slowest < TIMEOUT_SECONDS
        assert all(refusal.retry_after_ms for refusal in waiting.refused)
        # Known to be stuck, it does not let anyone wait.
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="busy"):
            await harness.append(stuck, "alice")
        assert time.monotonic() - started < 1
    free, acked = time.monotonic(), len(waiting.acked)
    await until(lambda: len(waiting.acked) > acked, seconds=2)
    await harness.append(stuck, "alice")
    assert time.monotonic() - free < 1
    await senders.stop()
    await waiting.stop()
    # What was refused and sent again with its ref is there once, and no seq is missing.
    await check(harness, senders.acked)
    await check(harness, waiting.acked)


async def test_what_was_set_aside_keeps_its_order_and_nothing_overtakes_it(
    open_store: Any,
) -> None:
    harness = await open_store()
    stuck, other = await channels_of(harness, 2)
    async with locked(harness, stuck):
        first = [harness.send(stuck, "alice", f"{number}") for number in range(100)]
        await harness.append(other, "alice")
        # While it is remembered; joins and messages of one user in their order.
        join = harness.enter(stuck, "bob")
        first += [harness.send(stuck, "bob", f"{number}") for number in range(100, 700)]
        await harness.append(other, "alice")
        # A write that is not hot does not pass those that came before.
        leave = asyncio.create_task(harness.store.channels.leave(stuck, "bob"))
        await asyncio.wait([leave], timeout=0.15)
        assert not any(future.done() for future in [*first, join])
    then = [harness.send(stuck, "alice", f"{number}") for number in range(700, 800)]
    results = await asyncio.gather(*first, join, *then)
    with contextlib.suppress(UnavailableError):
        await leave
    assert not any(isinstance(result, StormError) for result in results)
    sent = [event.payload for event in await harness.log(stuck) if hasattr(event, "payload")]
    assert sent == [f"{number}" for number in range(800)]
    assert [event.seq for event in harness.events_of(stuck)] == sorted(
        {event.seq for event in harness.events_of(stuck)}
    )


async def test_a_refused_message_is_not_stored_and_the_next_one_may_be(open_store: Any) -> None:
    harness = await open_store(store_timeout_seconds=1)
    (stuck,) = await channels_of(harness, 1)
    async with locked(harness, stuck):
        results = await asyncio.gather(
            *[harness.send(stuck, "alice", f"lost {n}", f"ref {n}") for n in range(50)],
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {UnavailableError}
    again = [await harness.append(stuck, "alice", f"kept {n}", f"ref {n}") for n in range(50)]
    assert not any(result.repeated for result in again)
    sent = [event.payload for event in await harness.log(stuck) if hasattr(event, "payload")]
    assert sent == [f"kept {number}" for number in range(50)]


async def test_an_edit_or_a_removal_in_a_locked_channel_holds_the_others_up_only_for_a_moment(
    open_store: Any,
) -> None:
    harness = await open_store()
    stuck, *others = await channels_of(harness, 6)
    sent = await harness.append(stuck, "owner")
    senders = Senders(harness, "other", 20, others)
    await until(lambda: len(senders.acked) > 100)

    async def write(number: int) -> Any:
        messages, channels = harness.store.messages, harness.store.channels
        if number % 3 == 0:
            return await messages.edit(stuck, sent.event.id, "owner", "new", None, allow)
        if number % 3 == 1:
            return await channels.add(stuck, "other-1", "owner", allow)
        return await channels.update(stuck, "owner", allow, topic="new")

    async with locked(harness, stuck):
        started = time.monotonic()
        tasks = [asyncio.create_task(write(number)) for number in range(30)]
        silence = await longest_silence(senders, 4)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {UnavailableError}
        assert time.monotonic() - started < 5
        assert silence < 1
        assert not senders.refused
    await asyncio.gather(*[write(number) for number in range(3)])
    await senders.stop()
    await check(harness, senders.acked)


async def test_locked_users_hold_up_their_own_joins_and_nobody_else(open_store: Any) -> None:
    harness = await open_store()
    (channel,) = await channels_of(harness, 1)
    await harness.people("alice", "bob")
    users = "SELECT 1 FROM users WHERE id = 'alice' FOR UPDATE"
    async with holding(harness, users):
        alice, bob = harness.enter(channel, "alice"), harness.enter(channel, "bob")
        assert (await bob).created
        assert not alice.done()
        with pytest.raises(UnavailableError):
            await alice
        waiting = harness.enter(channel, "alice")
        await harness.append(channel, "bob")
    with contextlib.suppress(UnavailableError):  # refused a moment before the lock went
        await waiting
    assert await harness.join(channel, "alice")
    assert (await harness.access(channel, "alice")).standing == "member"


async def test_many_writes_that_wait_for_a_locked_user_hold_the_others_up_only_for_a_moment(
    open_store: Any,
) -> None:
    harness = await open_store()
    others = await channels_of(harness, 3)
    await harness.people("alice", "bob")
    senders = Senders(harness, "other", 20, others)
    await until(lambda: len(senders.acked) > 100)
    users = harness.store.users
    async with holding(harness, "SELECT 1 FROM users WHERE id = 'alice' FOR UPDATE"):
        tasks = [
            asyncio.create_task(users.update("alice", display_name=f"Alice {number}"))
            for number in range(20)
        ]
        assert await longest_silence(senders, 3) < 1.5
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {UnavailableError}
        # Somebody else's row is not waited for.
        await users.update("bob", display_name="Bob")
    await users.update("alice", display_name="Alice")
    await senders.stop()
    assert not senders.refused


async def test_a_new_user_whom_another_session_inserts_and_never_commits_holds_up_nobody_else(
    open_store: Any,
) -> None:
    harness = await open_store()
    await harness.people("alice")
    insert = "INSERT INTO users (id, display_name, created_at) VALUES ('new', 'new', 0)"
    async with holding(harness, insert):
        new, known = harness.send(GENERAL, "new"), harness.send(GENERAL, "alice")
        assert (await known).event.seq
        with pytest.raises(UnavailableError):
            await new
    await harness.append(GENERAL, "new")


async def test_a_locked_table_is_unavailable_and_passes(open_store: Any) -> None:
    harness = await open_store(store_timeout_seconds=1)
    await harness.append(GENERAL, "alice")
    async with holding(harness, "LOCK TABLE channels IN ACCESS EXCLUSIVE MODE"):
        with pytest.raises(UnavailableError):
            await harness.append(GENERAL, "alice")
    await harness.append(GENERAL, "alice")
    assert len(await harness.log(GENERAL)) == 2


async def test_a_store_that_stops_answers_what_was_set_aside(open_store: Any) -> None:
    harness = await open_store()
    stuck, other = await channels_of(harness, 2)
    async with locked(harness, stuck):
        waiting = harness.send(stuck, "alice")
        await harness.append(other, "alice")
        assert not waiting.done()
        await harness.store.stop()
        with pytest.raises(UnavailableError):
            await waiting


async def test_nodes_that_crowd_one_channel_refuse_nobody(open_store: Any) -> None:
    """Contention is no lock that is stuck, however long the queue for it is."""
    nodes = [await open_store() for _ in range(4)]
    crowds = [Senders(node, f"node{at}", 25, [GENERAL]) for at, node in enumerate(nodes)]
    await until(lambda: all(len(crowd.acked) > 200 for crowd in crowds), seconds=30)
    for crowd in crowds:
        await crowd.stop()
    assert not any(crowd.refused for crowd in crowds)
    for crowd in crowds:
        await check(nodes[0], crowd.acked)


async def test_nodes_that_meet_a_locked_channel_from_all_sides_never_deadlock(
    open_store: Any,
) -> None:
    nodes = [await open_store() for _ in range(3)]
    channels = await channels_of(nodes[0], 5)
    crowds = [Senders(node, f"node{at}", 20, channels) for at, node in enumerate(nodes)]
    for channel_id in (channels[2], channels[0], channels[4]):
        async with locked(nodes[0], channel_id):
            await asyncio.sleep(0.8)
        counts = [len(crowd.acked) for crowd in crowds]
        await until(
            lambda counts=counts: all(
                len(crowd.acked) > count + 20 for crowd, count in zip(crowds, counts, strict=True)
            )
        )
    for crowd in crowds:
        await crowd.stop()
        await check(nodes[0], crowd.acked)
