"""Messages that are stored without a lock before: what others do between the look and the store."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection
from store_harness import GENERAL, SQLITE, Harness, allow

from storm_gateway.errors import ForbiddenError, UnavailableError
from storm_gateway.store import postgres_dialect
from storm_gateway.store.committer import MOST_PASSED
from storm_gateway.store.postgres_dialect import PostgresDialect
from storm_gateway.store.records import Access
from storm_gateway.store.transaction import Transaction

Between = Callable[[], Coroutine[Any, Any, Any]]


class Meeting:
    """What else is done after a node has looked and before it stores, once; and what it stored."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.between: Between | None = None
        self.tries: list[bool] = []
        """Of each batch that was tried at once: whether all of it was stored."""
        loop = asyncio.get_running_loop()
        append = PostgresDialect.append_unless_moved

        def met(self_: PostgresDialect, *args: Any) -> Any:
            between, self.between = self.between, None
            if between is not None:
                asyncio.run_coroutine_threadsafe(between(), loop).result(10)
            ids = append(self_, *args)
            self.tries.append(None not in ids)
            return ids

        monkeypatch.setattr(PostgresDialect, "append_unless_moved", met)


@pytest.fixture
async def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    return Meeting(monkeypatch)


@pytest.fixture
def store_kind() -> str:
    return "postgresql"


@pytest.fixture
async def nodes(open_store: Any) -> tuple[Harness, Harness]:
    """Two nodes on one database; alice and bob are members of its channel, in a crowd."""
    one = await open_store(named_members=1)
    for user in ("alice", "bob", "carol"):
        await one.join(GENERAL, user)
    return one, await open_store(named_members=1)


def member(access: Access) -> None:
    """The rule that lets members."""
    if access.standing != "member":
        raise ForbiddenError("No.")


async def test_alone_a_message_is_stored_without_a_lock(
    nodes: tuple[Harness, Harness], meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresDialect, "lock", None)
    one, _ = nodes
    for number in range(3):
        mine = await one.append(GENERAL, "alice", f"{number}", f"ref-{number}")
        again = await one.append(GENERAL, "alice", "another text", f"ref-{number}")
        assert (again.repeated, again.event) == (True, mine.event)
    assert meeting.tries == [True] * 3
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["0", "1", "2"]


async def test_a_message_that_another_node_was_faster_than_is_stored_behind_it(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, two = nodes
    meeting.between = lambda: two.append(GENERAL, "bob", "first")
    mine = await one.append(GENERAL, "alice", "second", "ref")
    assert meeting.tries == [True, False]
    log = await one.log(GENERAL)
    assert [event.payload for event in log[1:]] == ["first", "second"]
    assert (mine.event, mine.repeated) == (log[-1], False)
    assert log[-2].id < log[-1].id


async def test_of_several_channels_those_are_stored_that_have_not_moved_and_then_the_others(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, two = nodes
    other = (await one.store.channels.create("other", "public", "", "alice")).id
    meeting.between = lambda: two.append(other, "bob", "first")
    one.said.clear()
    await asyncio.gather(
        one.send(other, "alice", "second"),
        one.send(GENERAL, "alice", "mine"),
        one.send(other, "carol", "third"),
    )
    assert meeting.tries == [True, False]
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["mine"]
    log = await one.log(other)
    assert [event.payload for event in log[1:]] == ["first", "second", "third"]
    assert one.events_of(other) == log[2:]
    assert [event.payload for event in one.events] == ["mine", "second", "third"]


@pytest.mark.parametrize("how", ["remove", "ban", "leave in silence"])
async def test_who_loses_the_right_meanwhile_does_not_speak(
    nodes: tuple[Harness, Harness], meeting: Meeting, how: str
) -> None:
    one, two = nodes
    channels = two.store.channels

    async def go() -> None:
        if how == "leave in silence":
            await channels.leave(GENERAL, "alice")
        else:
            await channels.remove(GENERAL, "alice", "bob", allow, ban=how == "ban")

    head = (await one.store.channels.get(GENERAL)).head
    meeting.between = go
    with pytest.raises(ForbiddenError):
        await one.append(GENERAL, "alice", "too late", rule=member)
    assert meeting.tries == [False]
    view = await one.store.channels.get(GENERAL)
    assert view.member_count == 2
    assert view.head == head + (how != "leave in silence")


async def test_a_join_meanwhile_is_counted(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, two = nodes
    meeting.between = lambda: two.join(GENERAL, "dave")
    await one.append(GENERAL, "alice")
    assert meeting.tries == [False]
    assert (await one.store.channels.get(GENERAL)).member_count == 4


async def test_the_same_ref_on_another_node_meanwhile_is_stored_once(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, two = nodes
    meeting.between = lambda: two.append(GENERAL, "alice", "said", "ref")
    mine = await one.append(GENERAL, "alice", "said", "ref")
    assert mine.repeated
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["said"]


async def test_whoever_is_new_is_made_known_with_the_first_message(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, _ = nodes
    for number in range(3):
        await one.append(GENERAL, "erin", f"{number}")
    assert meeting.tries == [True, True]
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["0", "1", "2"]
    assert (await one.store.users.get("erin")) is not None


async def test_of_a_batch_only_those_who_are_new_are_stored_later(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, _ = nodes
    sent = [one.send(GENERAL, user, user, "ref") for user in ("alice", "erin", "bob", "erin")]
    done = await asyncio.gather(*sent)
    assert meeting.tries == [True]
    assert [each.repeated for each in done] == [False, False, False, True]
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["alice", "bob", "erin"]


async def test_the_same_ref_twice_in_a_batch_whose_channel_moved_is_stored_once(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, two = nodes
    meeting.between = lambda: two.append(GENERAL, "bob", "first")
    done = await asyncio.gather(*[one.send(GENERAL, "alice", "mine", "ref") for _ in range(2)])
    assert [each.repeated for each in done] == [False, True]
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["first", "mine"]


async def test_a_channel_that_is_locked_is_not_waited_for_and_the_others_go_on(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, two = nodes
    other = (await one.store.channels.create("other", "public", "", "alice")).id
    held, free = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.lock([other])
        held.set()
        free.wait(10)

    holding = asyncio.create_task(two.store._commits.write(hold))  # type: ignore[attr-defined]
    await asyncio.to_thread(held.wait, 10)
    waits = one.send(other, "alice", "later")
    await one.send(GENERAL, "alice", "now")
    assert meeting.tries == [False]
    assert not waits.done()
    free.set()
    await holding
    await waits
    assert [event.payload for event in (await one.log(other))[1:]] == ["later"]


async def test_nodes_that_meet_again_and_again_lock_first_and_try_less_often(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, two = nodes
    for _ in range(4 * MOST_PASSED):
        meeting.between = lambda: two.append(GENERAL, "bob")
        await one.append(GENERAL, "alice")
    # 1, 2, 4 … commits are passed over in between.
    assert meeting.tries.count(False) < 12
    meeting.between = None
    meeting.tries.clear()
    for _ in range(MOST_PASSED + 2):
        await one.append(GENERAL, "alice")
    assert True in meeting.tries
    assert False not in meeting.tries


async def test_where_answers_come_late_it_is_tried_again_before_anything_is_locked(
    nodes: tuple[Harness, Harness], meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresDialect, "lock", None)
    monkeypatch.setattr(PostgresDialect, "try_lock", None)
    one, two = nodes
    one.store._commits._slow = True  # type: ignore[attr-defined]
    meeting.between = lambda: two.append(GENERAL, "bob", "first")
    await one.append(GENERAL, "alice", "second")
    assert meeting.tries == [True, False, True]
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["first", "second"]


async def test_with_a_join_among_them_messages_lock_first(
    nodes: tuple[Harness, Harness], meeting: Meeting
) -> None:
    one, _ = nodes
    await asyncio.gather(one.send(GENERAL, "alice"), one.enter(GENERAL, "dave"))
    assert meeting.tries == []
    assert len(await one.log(GENERAL)) == 2


@pytest.mark.parametrize("store_kind", [*SQLITE, "postgresql"])
async def test_every_database_can_append_unless_something_moved(harness: Harness) -> None:
    await harness.append(GENERAL, "alice", "before")
    database = harness.store._database  # type: ignore[attr-defined]
    row = (GENERAL, 2, "alice", "at once", 0, "ref")

    def append(connection: Connection) -> Any:
        return database.dialect.append_unless_moved(connection, [row], [(GENERAL, 1, 0, 2)])

    (made,) = await asyncio.to_thread(database.write_at_once, append)
    log = await harness.log(GENERAL)
    assert (log[-1].id, log[-1].payload) == (made, "at once")


async def test_a_message_whose_answer_was_cut_off_is_not_called_lost_or_stored(
    nodes: tuple[Harness, Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends after the statement that commits, and before its answer."""
    one, _ = nodes
    ask = postgres_dialect.ask

    def cut_off(connection: Connection, statement: str, *values: Any) -> list[Any]:
        rows = ask(connection, statement, *values)
        if statement == postgres_dialect._APPEND_UNLESS_MOVED:
            driver: Any = connection.connection.driver_connection
            driver.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed")
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(postgres_dialect, "ask", cut_off)
        with pytest.raises(UnavailableError, match="not known whether"):
            await one.append(GENERAL, "alice", "once", "ref")
    again = await one.append(GENERAL, "alice", "once", "ref")
    assert again.repeated
    assert [event.payload for event in (await one.log(GENERAL))[1:]] == ["once"]
