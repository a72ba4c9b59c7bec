import asyncio

import msgspec
import pytest

from storm_gateway.client.backoff import Backoff
from storm_gateway.client.buffer import Buffer
from storm_gateway.client.credentials import GivenToken, ProvidedToken
from storm_gateway.client.errors import AuthenticationError, RefusedError, UnreachableError
from storm_gateway.client.filling import Event, Filler, history
from storm_gateway.client.http import PAGE, RestApi
from storm_gateway.client.notices import Backfilled, SubscriptionLost
from storm_gateway.client.resume import State
from storm_gateway.client.session import Session
from storm_gateway.protocol.events import Gap, MessageEvent, Subscribed

TIME = "2026-01-01T00:00:00Z"


def message(seq: int) -> MessageEvent:
    return MessageEvent(1, f"{seq}", "alice", seq, seq, TIME)


def gapped(head: int, to: int) -> Session:
    session = Session()
    session.subscribe(1, 0)
    session.receive(Subscribed(1, head, "storm:1", Gap(1, to)))
    return session


class Log:
    """A channel's history, by pages; trouble can be put before the next answer."""

    def __init__(self, seqs: list[int]) -> None:
        self.seqs = seqs
        self.troubles: list[Exception] = []
        self.asked: list[int] = []

    async def page(self, channel_id: int, after: int) -> list[MessageEvent]:
        self.asked.append(after)
        await asyncio.sleep(0)
        if self.troubles:
            raise self.troubles.pop(0)
        return [message(seq) for seq in self.seqs if seq > after][:PAGE]


async def filled(
    session: Session, log: Log, buffer: Buffer[Event] | None = None
) -> tuple[list[Event], int]:
    """Fill, read everything; gives the events and how often the filler said that it is done."""
    buffer = buffer or Buffer(100_000)
    done = asyncio.Event()
    count = 0

    def tell() -> None:
        nonlocal count
        count += 1
        if session.logs.get(1) is None or session.logs[1].state is not State.FILLING:
            done.set()

    filler = Filler(session, buffer, log.page, tell, Backoff(0.001, 0.002))
    filler.fill()
    filler.fill()
    events: list[Event] = []

    async def read() -> None:
        while (event := await buffer.take()) is not None:
            events.append(event)

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await done.wait()
    await filler.stop()
    buffer.end()
    await reading
    return events, count


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_gap_of_many_pages_is_filled_in_order_through_a_small_buffer(size: int) -> None:
    session = gapped(head=1_000, to=900)
    events, _ = await filled(session, Log(list(range(1, 1_001))), Buffer(size))
    *messages, notice = events
    assert [event.seq for event in messages if isinstance(event, MessageEvent)] == list(
        range(1, 951)
    )
    assert notice == Backfilled(1, 1, 950)
    assert session.logs[1].last == 950


async def test_a_gap_without_messages_is_passed_over() -> None:
    session = gapped(head=30, to=10)
    events, _ = await filled(session, Log([25]))
    assert events == [Backfilled(1, 1, 20)]
    assert session.logs[1].last == 20


async def test_a_server_that_is_away_meanwhile_is_asked_again() -> None:
    session = gapped(head=30, to=30)
    log = Log(list(range(1, 31)))
    log.troubles = [UnreachableError("away"), UnreachableError("away", 0.001)]
    events, count = await filled(session, log)
    assert len(events) == 31
    assert log.asked == [0, 0, 0]
    assert count == 3


async def test_a_channel_that_is_closed_meanwhile_is_told_and_left() -> None:
    session = gapped(head=30, to=30)
    log = Log([])
    log.troubles = [RefusedError("banned", "You are banned.")]
    events, _ = await filled(session, log)
    assert events == [SubscriptionLost(1, "banned", "You are banned.")]
    assert 1 not in session.logs


async def test_a_channel_that_is_left_while_its_gap_is_filled_is_left() -> None:
    for trouble in ([], [RefusedError("banned", "You are banned.")]):
        session = gapped(head=30, to=30)
        log = Log(list(range(1, 31)))
        log.troubles = list(trouble)
        answer = log.page

        async def page(channel_id: int, after: int, answer=answer, session=session):  # type: ignore[no-untyped-def]
            session.unsubscribe(1)
            return await answer(channel_id, after)

        log.page = page  # type: ignore[method-assign]
        events, _ = await filled(session, log)
        assert events == []


async def test_history_of_another_epoch_is_dropped_and_other_channels_are_filled() -> None:
    session = Session()
    session.opened("one")
    for channel_id in (1, 2):
        session.subscribe(channel_id, 0)
        session.receive(Subscribed(channel_id, 600, f"storm:{channel_id}", Gap(1, 500)))
    log = Log(list(range(1, 601)))
    answer = log.page

    async def page(channel_id: int, after: int) -> list[MessageEvent]:
        if channel_id == 1 and after == PAGE:
            # Between two pages the connection comes back, with another epoch.
            session.closed()
            session.opened("two")
            session.receive(Subscribed(1, 10, "storm:1"))
            session.subscribe(2, 0)
            session.receive(Subscribed(2, 600, "storm:2", Gap(1, 500)))
        return [msgspec.structs.replace(m, channel_id=channel_id) for m in await answer(1, after)]

    log.page = page  # type: ignore[method-assign]
    buffer: Buffer[Event] = Buffer(100_000)
    done = asyncio.Event()

    def tell() -> None:
        if session.logs[2].last == 550:
            done.set()

    filler = Filler(session, buffer, log.page, tell)
    filler.fill()
    async with asyncio.timeout(20):
        await done.wait()
    await filler.stop()
    buffer.end()
    events = []
    while (event := await buffer.take()) is not None:
        events.append(event)
    assert session.logs[1].last == 10
    assert [e.seq for e in events if isinstance(e, MessageEvent) and e.channel_id == 1] == list(
        range(1, PAGE + 1)
    )
    assert [e for e in events if isinstance(e, Backfilled)] == [Backfilled(2, 1, 550)]


async def test_stopping_a_filler_that_never_ran_is_nothing() -> None:
    await Filler(Session(), Buffer(1), Log([]).page, lambda: None).stop()


async def test_history_with_a_token_that_ended_needs_another_one() -> None:
    class Refusing(RestApi):
        async def history(self, token: str, *_: object, **__: object) -> list[MessageEvent]:
            if token == "old":
                raise AuthenticationError("unauthenticated", "It has ended.")
            return [message(1)]

    tokens = ["old", "new"]

    async def provide() -> str:
        return tokens.pop(0)

    async with Refusing("http://127.0.0.1:1") as api:
        assert await history(api, ProvidedToken(provide), 1) == [message(1)]
        with pytest.raises(AuthenticationError):
            await history(api, GivenToken("old"), 1)
