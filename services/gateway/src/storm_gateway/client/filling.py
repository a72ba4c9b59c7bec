"""Reads what the server does not replay from history, one channel at a time."""

import asyncio
from collections.abc import Awaitable, Callable

from storm_gateway.client.backoff import Backoff
from storm_gateway.client.buffer import Buffer
from storm_gateway.client.credentials import Credentials
from storm_gateway.client.errors import AuthenticationError, RefusedError, UnreachableError
from storm_gateway.client.http import PAGE, RestApi
from storm_gateway.client.inbound import Durable, Ephemeral
from storm_gateway.client.notices import Backfilled, Notice, SubscriptionLost
from storm_gateway.client.resume import ChannelLog, State
from storm_gateway.client.session import Session
from storm_gateway.protocol.events import MessageEvent

Event = Durable | Ephemeral | Notice


async def history(
    api: RestApi,
    credentials: Credentials,
    channel_id: int,
    limit: int = 50,
    *,
    before: int | None = None,
    after: int | None = None,
) -> list[MessageEvent]:
    """A page of history, oldest first; the token is renewed when it has ended."""
    token = await credentials.token()
    try:
        return await api.history(token, channel_id, limit, before, after)
    except AuthenticationError:
        renewed = await credentials.renew()
        if renewed is None:
            raise
        return await api.history(renewed, channel_id, limit, before, after)


class Filler:
    """Fills the gaps of a session's logs and puts the messages before what follows them."""

    def __init__(
        self,
        session: Session,
        buffer: Buffer[Event],
        page: Callable[[int, int], Awaitable[list[MessageEvent]]],
        filled: Callable[[], None],
        backoff: Backoff | None = None,
    ) -> None:
        """``page(channel_id, after)`` reads up to 200 messages; ``filled`` is called after each."""
        self._session = session
        self._buffer = buffer
        self._page = page
        self._filled = filled
        self._backoff = backoff or Backoff()
        self._task: asyncio.Task[None] | None = None

    def fill(self) -> None:
        """There is a log to fill."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="storm client: history")

    async def stop(self) -> None:
        """Leave it unfilled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            log = next(
                (log for log in self._session.logs.values() if log.state is State.FILLING), None
            )
            if log is None:
                return
            try:
                while not await self._fill_page(log):
                    pass
            except UnreachableError as error:
                await asyncio.sleep(self._backoff.next(error.retry_after_seconds))
            except RefusedError as error:
                if self._wanted(log):
                    self._session.unsubscribe(log.channel_id)
                    await self._put(SubscriptionLost(log.channel_id, error.code, error.message))
            else:
                self._backoff.reset()
            self._filled()

    def _wanted(self, log: ChannelLog) -> bool:
        return self._session.logs.get(log.channel_id) is log

    async def _fill_page(self, log: ChannelLog) -> bool:
        """Whether the log is filled, or nobody wants it any more."""
        assert log.last is not None  # noqa: S101 a gap has a beginning
        page = await self._page(log.channel_id, log.last)
        for message in page:
            if message.seq > log.fill_to:
                break
            await self._put(message, log)
            if not self._wanted(log):
                return True
        else:
            if len(page) == PAGE:
                return False
        await self._put(Backfilled(log.channel_id, log.fill_from, log.fill_to), log)
        if self._wanted(log):
            self._session.filled(log.channel_id)
        return True

    async def _put(self, event: Event, log: ChannelLog | None = None) -> None:
        while self._buffer.full:
            await self._buffer.moved()
        if log is not None and not self._wanted(log):
            return
        self._buffer.put(event)
        if log is not None and isinstance(event, MessageEvent):
            log.take(event.seq)
