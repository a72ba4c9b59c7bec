"""Messages: said, changed, taken back, reacted to and read again."""

import asyncio
import time
from collections.abc import Callable
from time import monotonic

from storm_gateway.actions import names, rules
from storm_gateway.actions.access import AccessCache
from storm_gateway.actions.publisher import Publisher
from storm_gateway.config import Config
from storm_gateway.errors import (
    InvalidCommandError,
    NotFoundError,
    PayloadTooLargeError,
    StormError,
)
from storm_gateway.protocol.events import TypingEvent
from storm_gateway.store.base import Done, Store
from storm_gateway.store.records import Appended, AppendMessage, HistoryMessage

PAYLOAD_PATTERN = r"^[^\x00]*[^\x00\s][^\x00]*$"
"""For schemas: something else than spaces, and no NUL."""
TYPISTS = 65_536


class MessageActions:
    """What users do in a channel's log. Rules run inside the transactions of the writes."""

    def __init__(
        self,
        config: Config,
        store: Store,
        access: AccessCache,
        publisher: Publisher,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._access = access
        self._publisher = publisher
        self._clock = clock
        self._characters = config.payload_characters
        self._typing_seconds = config.typing_seconds
        self._typing_expires_ms = config.typing_expires_seconds * 1000
        self._typists: dict[tuple[str, int], float] = {}

    def send(
        self, user_id: str, channel_id: int, payload: str, ref: str | None, done: Done[Appended]
    ) -> None:
        """Say something. ``done`` hears the outcome, after the commit; a payload that cannot be
        a message is told at once, before this returns.
        """
        fault = self._fault_of(payload)
        if fault is not None:
            done(fault)
            return
        self._store.messages.append(
            AppendMessage(channel_id, user_id, payload, int(time.time() * 1000), ref),
            rules.may_post,
            done,
        )

    async def post(
        self, user_id: str, channel_id: int, payload: str, ref: str | None = None
    ) -> Appended:
        """``send`` for those who can wait."""
        waiting: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

        def done(outcome: Appended | StormError) -> None:
            if waiting.done():
                return
            if isinstance(outcome, StormError):
                waiting.set_exception(outcome)
            else:
                waiting.set_result(outcome)

        self.send(user_id, channel_id, payload, ref, done)
        return await waiting

    async def edit(
        self, user_id: str, channel_id: int, message_id: int, payload: str, ref: str | None = None
    ) -> tuple[int, int]:
        """(message id, seq of the change)."""
        fault = self._fault_of(payload)
        if fault is not None:
            raise fault
        rule = rules.may_edit(user_id)
        return await self._store.messages.edit(channel_id, message_id, user_id, payload, ref, rule)

    async def delete(
        self, user_id: str, channel_id: int, message_id: int, ref: str | None = None
    ) -> tuple[int, int]:
        """(message id, seq of the change)."""
        rule = rules.may_delete_message(user_id)
        return await self._store.messages.delete(channel_id, message_id, user_id, ref, rule)

    async def react(
        self,
        user_id: str,
        channel_id: int,
        message_id: int,
        emoji: str,
        add: bool,
        ref: str | None = None,
    ) -> tuple[int, int]:
        """(message id, seq of the change, or the message's own seq when nothing changed)."""
        return await self._store.messages.react(
            channel_id,
            message_id,
            user_id,
            names.emoji(emoji),
            add=add,
            ref=ref,
            rule=rules.may_post,
        )

    async def history(
        self,
        user_id: str,
        channel_id: int,
        limit: int = 50,
        before: int | None = None,
        after: int | None = None,
    ) -> list[HistoryMessage]:
        """A page, newest first; ``before`` and ``after`` are seqs."""
        rules.may_receive(await self._access.load(user_id, channel_id))
        return await self._store.messages.page(channel_id, limit=limit, before=before, after=after)

    async def get(self, user_id: str, channel_id: int, message_id: int) -> HistoryMessage:
        rules.may_receive(await self._access.load(user_id, channel_id))
        message = await self._store.messages.get(channel_id, message_id)
        if message is None:
            raise NotFoundError("There is no such message.")
        return message

    async def typing(self, user_id: str, channel_id: int) -> None:
        """Tell the channel that the user is writing, at most every ``typing_seconds``."""
        rules.may_post(await self._access.load(user_id, channel_id))
        now = self._clock()
        key = (user_id, channel_id)
        last = self._typists.pop(key, None)
        if last is not None and now < last + self._typing_seconds:
            self._typists[key] = last
            return
        self._typists[key] = now
        if len(self._typists) > TYPISTS:
            del self._typists[next(iter(self._typists))]
        self._publisher.ephemeral(TypingEvent(channel_id, user_id, self._typing_expires_ms))

    def _fault_of(self, payload: str) -> StormError | None:
        if len(payload) > self._characters:
            return PayloadTooLargeError(f"A message has at most {self._characters} characters.")
        if not payload.strip():
            return InvalidCommandError("A message must not be blank.")
        if "\x00" in payload:
            return InvalidCommandError("A message holds no NUL character.")
        return None
