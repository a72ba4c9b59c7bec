"""Keeps one connection up, for as long as the server lets it: connect, read, write, come back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf

from storm_gateway.client.backoff import Backoff
from storm_gateway.client.buffer import Buffer
from storm_gateway.client.credentials import Credentials
from storm_gateway.client.errors import (
    AuthenticationError,
    ClientError,
    EndedError,
    UnreachableError,
)
from storm_gateway.client.filling import Event, Filler
from storm_gateway.client.inbound import Inbound, Unknown, decode
from storm_gateway.client.notices import Connected, Disconnected, Rewound
from storm_gateway.client.pace import Pace
from storm_gateway.client.session import Answer, Deliver, Retry, Session, SubscribeAnswer
from storm_gateway.client.wire import ABNORMAL, BrokenError, Wire
from storm_gateway.protocol.close_codes import CloseCode, may_reconnect
from storm_gateway.protocol.commands import Authenticate
from storm_gateway.protocol.events import (
    Ack,
    Error,
    Heartbeat,
    Hello,
    Reconnect,
    Subscribed,
    TokenExpiring,
)

HELLO_SECONDS = 15.0
STEADY_SECONDS = 10.0
"""A connection that lived so long shows that the server is well: the backoff begins anew."""
SETTLE_SECONDS = 1.0
"""What a heartbeat names may still be on its way for so long."""
RETRY_MS = 1_000
"""Before a refused command is written again, when the server names no time."""
Answered = Ack | Error | Subscribed
"""What tells by its ref that the server has read a command."""


class Link:
    """The running half of a client. ``run`` ends only with the client, or with ``failure``."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        session: Session,
        buffer: Buffer[Event],
        backoff: Backoff,
        answered: Callable[[Answer | SubscribeAnswer], None],
    ) -> None:
        self.hello: Hello | None = None
        self.opened = asyncio.Event()
        """Set with the first hello."""
        self.trouble: str | None = None
        """Why there is no connection just now; None while there is one."""
        self.filler: Filler | None = None
        self._url = url
        self._credentials = credentials
        self._session = session
        self._buffer = buffer
        self._backoff = backoff
        self._answered = answered
        self._to_write = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._reconnect_at: float | None = None
        self._renewal: asyncio.Task[None] | None = None

    def stir(self) -> None:
        """There may be something to write."""
        self._to_write.set()
        # A reader of frames that waits for room must go on reading when an answer is awaited.
        self._buffer.stir()

    async def run(self) -> ClientError:
        """Connect and come back, until the server says that it is over: why."""
        refused = False
        while True:
            code: int | None = None
            at_least: float | None = None
            try:
                await self._connect()
            except AuthenticationError as error:
                # A token that ended between two connections: once, try another one.
                if refused or not await self._renewed():
                    return error
                refused = True
                continue
            except UnreachableError as error:
                reason, at_least = str(error), error.retry_after_seconds
            except ClientError as error:
                return error
            except BrokenError as error:
                reason, code = str(error), error.code
                if not may_reconnect(code):
                    return EndedError(code, error.reason)
                if code == CloseCode.TOKEN_EXPIRED and not await self._renewed():
                    return AuthenticationError("unauthenticated", "The token has ended.")
            else:
                continue  # the server asked to change the connection, and the time has come
            refused = False
            seconds = self._pause(at_least)
            self.trouble = reason
            self._tell(Disconnected(reason, round(seconds, 3), code))
            await asyncio.sleep(seconds)

    async def stop(self) -> None:
        """End what runs beside ``run``."""
        if self.filler is not None:
            await self.filler.stop()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _pause(self, at_least: float | None) -> float:
        if self._reconnect_at is None:
            return self._backoff.next(at_least)
        # The server spreads its clients itself: its time wins.
        seconds = max(0.0, self._reconnect_at - asyncio.get_running_loop().time())
        self._reconnect_at = None
        return seconds

    async def _renewed(self) -> bool:
        try:
            return await self._credentials.renew() is not None
        except UnreachableError:
            return True  # nobody said no: the next connection asks again
        except ClientError:
            return False

    async def _connect(self) -> None:
        """One connection. Returns only when the server wished for another one."""
        headers, query = await self._credentials.for_websocket()
        async with await Wire.open(self._url, headers, query) as wire:
            self._reconnect_at = None
            loop = asyncio.get_running_loop()
            began = loop.time()
            hello = await self._greeting(wire)
            again = self.hello is not None
            self.hello = hello
            self.trouble = None
            refused = self._session.opened(hello.epoch)
            self._tell(Connected(hello.connection_id, hello.user_id, again))
            for answer in refused:
                self._answered(answer)
            self.opened.set()
            try:
                await self._converse(wire, hello)
            finally:
                self._session.closed()
                for timer in self._timers:
                    timer.cancel()
                self._timers.clear()
                if loop.time() - began > STEADY_SECONDS:
                    self._backoff.reset()

    async def _greeting(self, wire: Wire) -> Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                while True:
                    event = decode(await wire.receive())
                    if isinstance(event, Hello):
                        return event
        except TimeoutError:
            raise UnreachableError("The server did not say hello.") from None

    async def _converse(self, wire: Wire, hello: Hello) -> None:
        limits = hello.limits
        pace = Pace(limits.commands_per_second, limits.commands_burst)
        reader = asyncio.create_task(self._read(wire, hello.keepalive.dead_seconds, pace))
        writer = asyncio.create_task(self._write(wire, pace))
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            moved = reader.cancelled()  # by the timer that `reconnect` set
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.wait((reader, writer))
        if not moved:
            # The reader knows the close code; the writer, at best, that nothing can be written.
            for task in (reader, writer):
                if not task.cancelled():
                    task.result()

    # --- writing ---

    async def _write(self, wire: Wire, pace: Pace) -> None:
        now = asyncio.get_running_loop().time
        while True:
            wait = pace.wait(now())
            command = None if wait else self._session.next_command()
            if command is not None:
                # Before it is written: while that waits for room, the answer may come.
                pace.wrote(command.ref, now())
                await wire.send(command)
                continue
            self._to_write.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait if 0 < wait < inf else None):
                    await self._to_write.wait()

    # --- reading ---

    async def _read(self, wire: Wire, dead_seconds: float, pace: Pace) -> None:
        reader = asyncio.current_task()
        assert reader is not None  # noqa: S101 it is a task
        while True:
            try:
                # Heartbeats come more often than this. The time in which the program was slow
                # with its events does not count.
                async with asyncio.timeout(dead_seconds):
                    event = decode(await wire.receive())
            except TimeoutError:
                raise BrokenError(ABNORMAL, "the server is silent") from None
            if isinstance(event, Reconnect):
                self._reconnect_at = asyncio.get_running_loop().time() + event.after_ms / 1000
                self._after(event.after_ms, partial(_cancel, reader))
            elif isinstance(event, Heartbeat):
                self._session.doubt(event.heads)
                self._to_write.set()
                self._after(SETTLE_SECONDS * 1000, partial(self._compare, event.heads))
            elif isinstance(event, TokenExpiring):
                self._renew_soon()
            elif event is not None:
                if isinstance(event, Answered) and event.ref is not None:
                    pace.answered(event.ref, asyncio.get_running_loop().time())
                await self._handle(event)

    async def _handle(self, event: Inbound | Unknown) -> None:
        step = self._session.receive(event)
        if isinstance(step, Deliver):
            await self._deliver(step)
        elif isinstance(step, Retry):
            wait = RETRY_MS if step.after_ms is None else step.after_ms
            self._after(wait, partial(self._again, step.ref))
        elif step is not None:
            if isinstance(step, SubscribeAnswer) and step.rewound:
                assert isinstance(step.reply, Subscribed)  # noqa: S101 only it tells so
                # Full or not: untold it would be a hole that nothing shows. One for each channel.
                self._buffer.put(Rewound(step.channel_id, step.reply.head))
            if isinstance(step, SubscribeAnswer) and step.fill and self.filler is not None:
                self.filler.fill()
            self._answered(step)
        self._to_write.set()

    async def _deliver(self, step: Deliver) -> None:
        if self._buffer.full:
            # Not reading on makes the server wait, which is what a slow program wants; but an
            # answer that the program waits for would then never be read.
            while self._buffer.full and not self._session.waiting:
                await self._buffer.moved()
            if not isinstance(self._session.receive(step.event), Deliver):
                return  # unsubscribed meanwhile
        if self._buffer.full:
            self._session.no_room(step.event)
            return
        self._session.took(step.event)
        if not isinstance(step.event, Unknown):
            self._buffer.put(step.event)

    def _compare(self, heads: dict[str, int]) -> None:
        if self._buffer.full:
            return  # what lacks may wait in the connection
        self._session.compare(heads)
        self.stir()

    def _again(self, ref: str) -> None:
        self._session.again(ref)
        self.stir()

    def _renew_soon(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="storm client: token")

    async def _renew(self) -> None:
        try:
            token = await self._credentials.renew()
        except ClientError:
            return  # the server will close with 4002, and it is tried again then
        if token is not None:
            self._session.tell(Authenticate(token))
            self.stir()

    def _tell(self, notice: Connected | Disconnected) -> None:
        if not self._buffer.full:
            self._buffer.put(notice)

    def _after(self, milliseconds: float, call: Callable[[], None]) -> None:
        """Call later, unless the connection ends before."""

        def run() -> None:
            self._timers.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(milliseconds / 1000, run)
        self._timers.add(handle)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
