"""Commands to actions: what each command does, and what it answers."""

import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING

from storm_gateway.bus.base import topic_of_channel
from storm_gateway.connections.websocket import State
from storm_gateway.errors import (
    AuthorMismatchError,
    InternalError,
    LimitReachedError,
    StormError,
    UnauthenticatedError,
    UnavailableError,
)
from storm_gateway.protocol import commands
from storm_gateway.protocol.codec import decode_command, encode, ref_of
from storm_gateway.protocol.events import Ack, Pong
from storm_gateway.protocol.websocket import text_frame
from storm_gateway.store.records import Appended

if TYPE_CHECKING:
    from storm_gateway.connections.connection import Connection
    from storm_gateway.hub.feed import Feed

log = logging.getLogger("storm.connections")

Work = Coroutine[None, None, Ack | None]

INTERNAL = InternalError("Something went wrong here; it was logged.")


def handle(connection: "Connection", data: bytes) -> None:
    """Carry out one command. Whatever it is, the connection survives it."""
    try:
        command = decode_command(data)
    except StormError as error:
        connection.refuse(error, ref_of(data))
        return
    try:
        _handle(connection, command)
    except StormError as error:
        connection.refuse(error, command.ref)
    except Exception:
        log.exception("a command failed", extra={"connection": connection.connection_id})
        connection.refuse(INTERNAL, command.ref)


def foresee(connection: "Connection", data: bytes) -> None:
    """A command waits for the one before it: what it will ask is asked now. A client that returns
    says all its subscriptions at once, and they are one question instead of one after another.
    """
    if b'"subscribe"' not in data:
        return
    try:
        command = decode_command(data)
    except StormError:
        return  # it is answered in its turn
    if type(command) is commands.Subscribe:
        connection.edge.actions.channels.foresee(connection.user_id, command.channel_id)


def _handle(connection: "Connection", command: commands.Command) -> None:
    # The hot command first; it neither waits nor makes a task.
    if type(command) is commands.Message:
        _message(connection, command)
        return
    actions = connection.edge.actions
    user_id = connection.user_id
    ref = command.ref
    match command:
        case commands.Ping():
            connection.reply(Pong(ref))
        case commands.Subscribe(channel_id=channel_id, since=since):
            if not _subscribe_now(connection, channel_id, since, ref):
                connection.run(subscribe(connection, channel_id, since, ref), ref)
        case commands.Unsubscribe(channel_id=channel_id):
            feed = _feed_of(connection, channel_id)
            if feed is not None:
                connection.edge.hub.detach(connection, feed)
            if ref is not None:
                connection.reply(Ack(ref, channel_id))
        case commands.Typing(channel_id=channel_id):
            connection.run(_typing(connection, channel_id, ref), ref)
        case commands.Read(channel_id=channel_id, seq=seq):
            connection.run(_read(connection, channel_id, seq, ref), ref)
        case commands.Edit(channel_id=channel_id, message_id=message_id, payload=payload):
            change = actions.messages.edit(user_id, channel_id, message_id, payload, ref)
            connection.run(_change(change, channel_id, ref), ref)
        case commands.Delete(channel_id=channel_id, message_id=message_id):
            change = actions.messages.delete(user_id, channel_id, message_id, ref)
            connection.run(_change(change, channel_id, ref), ref)
        case commands.React(channel_id=channel_id, message_id=message_id, emoji=emoji):
            change = actions.messages.react(user_id, channel_id, message_id, emoji, True, ref)
            connection.run(_change(change, channel_id, ref), ref)
        case commands.Unreact(channel_id=channel_id, message_id=message_id, emoji=emoji):
            change = actions.messages.react(user_id, channel_id, message_id, emoji, False, ref)
            connection.run(_change(change, channel_id, ref), ref)
        case commands.Authenticate(token=token):
            _authenticate(connection, token)
            if ref is not None:
                connection.reply(Ack(ref))


def _message(connection: "Connection", command: commands.Message) -> None:
    user_id = connection.user_id
    if command.user_id is not None and command.user_id != user_id:
        raise AuthorMismatchError("user_id must be yours, or left out.")
    ref = command.ref
    if connection.edge.hub.congested(command.channel_id):
        raise UnavailableError("This channel is too busy; try again.", retry_after_ms=1000)

    times = connection.edge.counts.ack_times
    began = time.perf_counter()

    def done(outcome: Appended | StormError) -> None:
        if not isinstance(outcome, StormError):
            times.observe(time.perf_counter() - began)
        if connection.state is not State.OPEN:
            return
        if isinstance(outcome, StormError):
            connection.refuse(outcome, ref)
        elif ref is not None:
            event = outcome.event
            connection.send(text_frame(encode(Ack(ref, event.channel_id, event.id, event.seq))))

    connection.edge.actions.messages.send(user_id, command.channel_id, command.payload, ref, done)


def _feed_of(connection: "Connection", channel_id: int) -> "Feed | None":
    topic = topic_of_channel(channel_id)
    for feed in connection.feeds:
        if feed.topic == topic:
            return feed
    return None


async def _change(
    change: Coroutine[None, None, tuple[int, int]], channel_id: int, ref: str | None
) -> Ack | None:
    message_id, seq = await change
    return Ack(ref, channel_id, message_id, seq) if ref is not None else None


async def _typing(connection: "Connection", channel_id: int, ref: str | None) -> Ack | None:
    await connection.edge.actions.messages.typing(connection.user_id, channel_id)
    return Ack(ref, channel_id) if ref is not None else None


async def _read(connection: "Connection", channel_id: int, seq: int, ref: str | None) -> Ack | None:
    reached = await connection.edge.actions.reads.read(connection.user_id, channel_id, seq)
    return Ack(ref, channel_id, seq=reached) if ref is not None else None


def _subscribe_now(
    connection: "Connection", channel_id: int, since: int | None, ref: str | None
) -> bool:
    """Subscribe from memory alone, without a task; False: something has to be asked."""
    edge = connection.edge
    feed = edge.hub.feed(topic_of_channel(channel_id))
    if feed is None:
        return False
    if feed not in connection.feeds:
        _may_have_one_more(connection)
    return edge.actions.channels.may_receive_now(
        connection.user_id, channel_id, feed.live_since, len(feed.subscribers)
    ) and edge.subscriptions.subscribe_now(connection, channel_id, since, ref)


def _may_have_one_more(connection: "Connection") -> None:
    most = connection.edge.config.channels_per_connection
    if len(connection.feeds) >= most:
        raise LimitReachedError(f"A connection may subscribe {most} channels.")


async def open_ahead(connection: "Connection", channel_id: int) -> None:
    """Make a channel live here while the user is still joining it. Whoever subscribes it says
    what went wrong; a channel that nobody subscribes is left again soon.
    """
    with suppress(StormError):
        feed = await connection.edge.hub.open(topic_of_channel(channel_id), channel_id)
        feed.references -= 1


async def subscribe(
    connection: "Connection", channel_id: int, since: int | None, ref: str | None
) -> None:
    """Check the right to receive, then go live; the answer is ``subscribed``."""
    edge = connection.edge
    if _feed_of(connection, channel_id) is None:
        _may_have_one_more(connection)
    user_id = connection.user_id

    async def check() -> None:
        # A feed learns of each removal from its log, but only of those since it was opened: an
        # answer from before could be of a member whose removal nobody told us of.
        feed = edge.hub.feed(topic_of_channel(channel_id))
        since, crowd = (feed.live_since, len(feed.subscribers)) if feed is not None else (0.0, 0)
        if not edge.actions.channels.may_receive_now(user_id, channel_id, since, crowd):
            await edge.actions.channels.may_receive(user_id, channel_id, since)

    await check()
    if connection.state is not State.OPEN:
        return
    if not edge.subscriptions.subscribe_now(connection, channel_id, since, ref):
        await edge.subscriptions.subscribe(connection, channel_id, since, ref, check)


async def listen(connection: "Connection", subject: str) -> None:
    """Receive an event stream."""
    hub = connection.edge.hub
    if connection.identity.foreign:
        await connection.edge.actions.auth.ensure_user(connection.identity)
    feed = await hub.open(subject, 0)
    try:
        if connection.state is State.OPEN:
            hub.attach(connection, feed, 0)
    finally:
        feed.references -= 1


def _authenticate(connection: "Connection", token: str) -> None:
    identity = connection.edge.actions.auth.authenticate(token)
    if identity.user_id != connection.user_id:
        raise UnauthenticatedError("This token is another user's; open a new connection.")
    connection.identity = identity
    connection.warned = False
