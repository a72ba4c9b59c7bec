"""A client of STORM that keeps its promises on the other side: nothing lost, nothing twice.

::

    async with GatewayClient("http://127.0.0.1:8080", user="bot", password="…") as client:
        await client.subscribe(1)
        async for event in client.events():
            ...
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

from storm_gateway.client.backoff import Backoff
from storm_gateway.client.buffer import Buffer
from storm_gateway.client.credentials import (
    Credentials,
    GivenToken,
    Login,
    ProvidedToken,
    TokenProvider,
)
from storm_gateway.client.errors import ClientError, RefusedError
from storm_gateway.client.filling import Event, Filler, history
from storm_gateway.client.http import PAGE, ChannelInfo, RestApi, split_url
from storm_gateway.client.link import Link
from storm_gateway.client.notices import SubscriptionLost
from storm_gateway.client.session import RESERVED, Answer, Session, SubscribeAnswer
from storm_gateway.protocol import commands
from storm_gateway.protocol.events import Ack, Error, Hello, Limits, MessageEvent, Subscribed


def new_ref() -> str:
    """A ref that nobody else makes."""
    return secrets.token_urlsafe(12)


Answered = TypeVar("Answered", Ack, Subscribed)


class GatewayClient:
    """One user's connection to a server, kept up over reconnections.

    Enter it (``async with``) to connect: this returns once the server said hello, and raises
    :class:`AuthenticationError` when it lets nobody in with these credentials. While the server
    is away, it tries again, here as later.

    - ``url``: ``http(s)://`` or ``ws(s)://`` and host, with or without ``/ws``.
    - ``token``: an access token, or an async function that gives one (asked again when the token
      is about to expire or was refused). Or ``user`` and ``password``: logs in and renews.
    - ``queue_size``: events that wait for the reader of :meth:`events`. When it is full, the
      client stops reading from the server; nothing is lost, durable events are resumed.
    - ``max_unacked``: commands that wait for their answer; more of them wait their turn.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | TokenProvider | None = None,
        user: str | None = None,
        password: str | None = None,
        queue_size: int = 1_000,
        max_unacked: int = 1_000,
        backoff: Backoff | None = None,
    ) -> None:
        base, websocket_url = split_url(url)
        self._api = RestApi(base)
        self._credentials = _credentials(self._api, token, user, password)
        self._session = Session()
        self._buffer: Buffer[Event] = Buffer(queue_size)
        self._link = Link(
            websocket_url,
            self._credentials,
            self._session,
            self._buffer,
            backoff or Backoff(),
            self._answered,
        )
        self._link.filler = Filler(self._session, self._buffer, self._page, self._link.stir)
        self._turns = asyncio.Semaphore(max_unacked)
        self._answers: dict[str, asyncio.Future[Ack]] = {}
        self._subscribes: dict[int, asyncio.Future[Subscribed]] = {}
        self._runner: asyncio.Task[None] | None = None
        self._ended: ClientError | None = None
        self._failure: ClientError | None = None

    # --- life ---

    async def __aenter__(self) -> Self:
        self._runner = asyncio.create_task(self._run(), name="storm client")
        try:
            await self._link.opened.wait()
        except BaseException:
            await self.close()
            raise
        if self._failure is not None:
            await self.close()
            raise self._failure
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Say goodbye. Commands without an answer fail; :meth:`events` ends."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
        await self._link.stop()
        self._end(ClientError("The client is closed."))
        await self._api.close()

    async def _run(self) -> None:
        self._failure = await self._link.run()
        self._end(self._failure)
        self._link.opened.set()

    def _end(self, error: ClientError) -> None:
        self._ended = self._ended or error
        waiting: list[asyncio.Future[Ack] | asyncio.Future[Subscribed]] = []
        waiting += self._answers.values()
        waiting += self._subscribes.values()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(error)
        self._subscribes.clear()
        self._buffer.end()

    @property
    def trouble(self) -> str | None:
        """Why there is no connection just now; None while there is one."""
        return self._link.trouble

    @property
    def user_id(self) -> str:
        """Who the server takes this client for."""
        return self._hello.user_id

    @property
    def limits(self) -> Limits:
        """The bounds that the server named."""
        return self._hello.limits

    @property
    def _hello(self) -> Hello:
        if self._link.hello is None:
            raise ClientError("The client is not connected yet: enter it with 'async with'.")
        return self._link.hello

    # --- receiving ---

    async def events(self) -> AsyncIterator[Event]:
        """Everything that arrives, in order; ends with :meth:`close`.

        Durable events of a channel come with strictly rising ``seq``, each once, whatever
        happened to the connection; what the client has to say itself (``notices``) comes among
        them. Raises :class:`EndedError` or :class:`AuthenticationError` when the server ended
        the connection for good.
        """
        while True:
            event = await self._buffer.take()
            if event is None:
                break
            if self._buffer.roomy and self._session.catch_up():
                self._link.stir()
            yield event
        if self._failure is not None:
            raise self._failure

    async def subscribe(
        self, channel_id: int, since: int | None = None, *, epoch: str = ""
    ) -> Subscribed:
        """Receive a channel from now on; with ``since`` (a seq), first all that came after it.

        ``epoch``: what :attr:`epoch` was when ``since`` was kept. If a backup was restored in
        between, the channel is received from now on, and ``Rewound`` says so.

        Raises :class:`RefusedError`.
        """
        self._check()
        answer = self._subscribes.get(channel_id)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_look_at)
            self._subscribes[channel_id] = answer
        self._session.subscribe(channel_id, since, epoch)
        self._link.stir()
        return await asyncio.shield(answer)

    def unsubscribe(self, channel_id: int) -> None:
        """Stop receiving a channel. Membership stays."""
        self._session.unsubscribe(channel_id)
        self._link.stir()

    def position(self, channel_id: int) -> int | None:
        """The newest seq received of the channel: what to ``subscribe`` with after a restart,
        together with the :attr:`epoch`.
        """
        log = self._session.logs.get(channel_id)
        return log.last if log is not None else None

    @property
    def epoch(self) -> str:
        """Which life of the server's database the positions are of: another one after a backup
        was restored.
        """
        return self._session.epoch

    # --- commands ---

    async def send(self, channel_id: int, payload: str, *, ref: str | None = None) -> Ack:
        """Say something. Returns once it is durable; written again after each reconnection.

        With a ``ref`` of one's own (1 to 64 characters), a program that was restarted can send
        again without saying it twice. Raises :class:`RefusedError`.
        """
        return await self._command(commands.Message(channel_id, payload, ref=ref or new_ref()))

    async def edit(self, channel_id: int, message_id: int, payload: str) -> Ack:
        """Replace the text of one's own message."""
        return await self._command(commands.Edit(channel_id, message_id, payload, ref=new_ref()))

    async def delete(self, channel_id: int, message_id: int) -> Ack:
        """Delete a message."""
        return await self._command(commands.Delete(channel_id, message_id, ref=new_ref()))

    async def react(self, channel_id: int, message_id: int, emoji: str) -> Ack:
        """Add a reaction to a message."""
        return await self._command(commands.React(channel_id, message_id, emoji, ref=new_ref()))

    async def unreact(self, channel_id: int, message_id: int, emoji: str) -> Ack:
        """Take a reaction back."""
        return await self._command(commands.Unreact(channel_id, message_id, emoji, ref=new_ref()))

    async def read(self, channel_id: int, seq: int) -> Ack:
        """Move the read cursor forward."""
        return await self._command(commands.Read(channel_id, seq, ref=new_ref()))

    def typing(self, channel_id: int) -> None:
        """Tell the channel that the user is writing, if there is a connection just now."""
        self._session.tell(commands.Typing(channel_id))
        self._link.stir()

    async def _command(self, command: commands.Command) -> Ack:
        ref = command.ref
        assert ref is not None  # noqa: S101 every caller makes one
        if ref.startswith(RESERVED):
            raise ValueError(f"refs that begin with {RESERVED!r} are the client's own")
        async with self._turns:
            self._check()
            self._session.ask(command)
            answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
            self._answers[ref] = answer
            self._link.stir()
            try:
                return await answer
            finally:
                del self._answers[ref]
                self._session.forget(ref)

    # --- reading by REST ---

    async def channels(self) -> list[ChannelInfo]:
        """The channels that the user may see."""
        return await self._api.channels(await self._credentials.token())

    async def history(
        self,
        channel_id: int,
        limit: int = 50,
        *,
        before: int | None = None,
        after: int | None = None,
    ) -> list[MessageEvent]:
        """Up to 200 messages as they are now, oldest first; ``before`` and ``after`` are seqs."""
        return await history(
            self._api, self._credentials, channel_id, limit, before=before, after=after
        )

    async def _page(self, channel_id: int, after: int) -> list[MessageEvent]:
        return await self.history(channel_id, PAGE, after=after)

    # --- answers ---

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended
        if self._runner is None:
            raise ClientError("The client is not connected yet: enter it with 'async with'.")

    def _answered(self, step: Answer | SubscribeAnswer) -> None:
        if isinstance(step, Answer):
            _settle(self._answers.get(step.ref), step.reply)
            return
        waiter = self._subscribes.pop(step.channel_id, None)
        if waiter is not None:
            _settle(waiter, step.reply)
        elif isinstance(step.reply, Error):
            reply = step.reply
            self._buffer.put(SubscriptionLost(step.channel_id, reply.code, reply.message))


def _settle(answer: asyncio.Future[Answered] | None, reply: Answered | Error) -> None:
    if answer is None or answer.done():
        return
    if isinstance(reply, Error):
        answer.set_exception(RefusedError(reply.code, reply.message, reply.retry_after_ms))
    else:
        answer.set_result(reply)


def _look_at(answer: asyncio.Future[Subscribed]) -> None:
    # Its waiter may have been cancelled: then nobody else looks at the exception.
    if not answer.cancelled():
        answer.exception()


def _credentials(
    api: RestApi, token: str | TokenProvider | None, user: str | None, password: str | None
) -> Credentials:
    if token is not None and user is None and password is None:
        return GivenToken(token) if isinstance(token, str) else ProvidedToken(token)
    if token is None and user is not None and password is not None:
        return Login(api, user, password)
    raise ValueError("give either a token, or user and password")
