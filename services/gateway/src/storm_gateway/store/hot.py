"""The hot writes: many messages and joins of one moment as a handful of statements.

Everything that they need is read at once; then they are played in order against that state in
memory, and what changed is written at once.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from storm_gateway.errors import (
    BannedError,
    InvalidCommandError,
    NotFoundError,
    StormError,
    UnauthenticatedError,
)
from storm_gateway.protocol.events import MemberJoined, MessageEvent
from storm_gateway.store.base import Rule
from storm_gateway.store.log import message_event
from storm_gateway.store.records import BANNED, Access, Appended, AppendMessage, Join, Joined
from storm_gateway.store.tables import changes, members, users
from storm_gateway.store.times import rfc3339
from storm_gateway.store.transaction import NO_CHANNEL, State, Transaction, states_of

_MEMBER = ("channel_id", "user_id", "standing", "joined_at", "read_seq")
_CHANGE = ("channel_id", "seq", "kind", "actor", "subject", "data", "sent_at")
_USER = ("id", "display_name", "created_at", "admin")


class Append:
    """A message that waits to be stored."""

    __slots__ = ("done", "message", "rule")

    def __init__(
        self,
        message: AppendMessage,
        rule: Rule,
        done: Callable[[Appended | StormError], None],
    ) -> None:
        self.message = message
        self.rule = rule
        self.done = done


class Enter:
    """A join that waits to be stored."""

    __slots__ = ("done", "join", "rule")

    def __init__(self, join: Join, rule: Rule, done: Callable[[Joined | StormError], None]) -> None:
        self.join = join
        self.rule = rule
        self.done = done


Hot = Append | Enter
HOT = (Append, Enter)


def place_of(write: Hot) -> tuple[int, str]:
    """Channel and user."""
    if type(write) is Append:
        return write.message.channel_id, write.message.user_id
    return write.join.channel_id, write.join.user_id  # type: ignore[union-attr]


def play(tx: Transaction, batch: Sequence[Hot]) -> list[Any]:
    """Store all, in order; the outcome of each. A refusal of one is no matter to the others."""
    return _Play(tx, batch).run()


LATER: Final = object()
"""In place of an outcome: nothing is stored, and nothing speaks against it."""


class _LaterError(Exception):
    """This one needs more than two statements."""


def play_at_once(tx: Transaction, batch: Sequence[Append]) -> tuple[list[Any], int]:
    """The same of messages, with nothing locked and no transaction: two statements; and how many
    somebody else was in the way of.

    :data:`LATER` is the outcome of those of new users, and of those whose channel somebody else has
    locked, or has written to meanwhile.
    """
    return _Play(tx, batch, at_once=True).run_at_once()


class _Play:
    def __init__(self, tx: Transaction, batch: Sequence[Hot], *, at_once: bool = False) -> None:
        self.tx = tx
        self.batch = batch
        self.at_once = at_once
        self.states: dict[tuple[int, str], State | None] = {}
        self.stored: dict[tuple[int, str, str], MessageEvent] = {}
        self.messages: list[MessageEvent] = []
        self.rows: list[tuple[Any, ...]] = []
        self.members: list[tuple[Any, ...]] = []
        self.changes: list[tuple[Any, ...]] = []
        self.users: dict[str, tuple[Any, ...]] = {}
        self.moved: dict[int, State] = {}
        self.read_at = 0.0

    def run(self) -> list[Any]:
        outcomes = self._decide()
        self._write()
        return outcomes

    def run_at_once(self) -> tuple[list[Any], int]:
        outcomes = self._decide()
        if not self.rows:
            return outcomes, 0
        said = Counter(row[0] for row in self.rows)
        moved = []
        for id_, state in self.moved.items():
            channel = state.channel
            moved.append((id_, channel.head - said[id_], channel.member_count, channel.head))
        ids = self.tx.dialect.append_unless_moved(self.tx.connection, self.rows, moved)
        for event, made in zip(self.messages, ids, strict=True):
            event.id = made or 0
        self.tx.events = [event for event in self.messages if event.id]
        self.tx.stored = len(self.tx.events)
        # An earlier message of the same ref may be one that is not stored.
        return [
            LATER if type(outcome) is Appended and not outcome.event.id else outcome
            for outcome in outcomes
        ], len(ids) - self.tx.stored

    def _decide(self) -> list[Any]:
        self._read()
        outcomes: list[Any] = []
        for write in self.batch:
            try:
                if type(write) is Append:
                    outcomes.append(self._append(write))
                else:
                    outcomes.append(self._enter(write))  # type: ignore[arg-type]
            except StormError as refusal:
                outcomes.append(refusal)
            except _LaterError:
                outcomes.append(LATER)
        return outcomes

    def _read(self) -> None:
        tx = self.tx
        pairs: dict[tuple[int, str], None] = {}
        refs = []
        entering = []
        for write in self.batch:
            if type(write) is Append:
                message = write.message
                pairs[message.channel_id, message.user_id] = None
                if message.ref is not None:
                    refs.append((message.channel_id, message.user_id, message.ref))
            else:
                join = write.join  # type: ignore[union-attr]
                pairs[join.channel_id, join.user_id] = None
                entering.append(join.user_id)
        if not self.at_once:
            tx.lock({channel_id for channel_id, _ in pairs}, entering)
        keys = list(pairs)
        self.read_at = monotonic()
        found, earlier = tx.dialect.look_up(tx.connection, keys, refs)
        self.states = dict(zip(keys, states_of(keys, found, tx.settings.admin_ids), strict=True))
        for at, id_, seq, payload, sent_at, edited_at, deleted_at in earlier:
            key = refs[at]
            self.stored[key] = message_event(
                key[0], seq, id_, key[1], payload, sent_at, edited_at, deleted_at
            )

    def _state(self, channel_id: int, user_id: str, rule: Rule) -> State:
        state = self.states[channel_id, user_id]
        if state is None or state.channel.deleted:
            raise NotFoundError(NO_CHANNEL)
        if state.user_deleted:
            raise UnauthenticatedError("This user was deleted.")
        if state.user_banned:
            raise BannedError(BANNED)
        rule(state.access)
        if not state.user_known and user_id not in self.users:
            if self.at_once:
                raise _LaterError
            self.users[user_id] = (user_id, user_id, self.tx.now, False)
        return state

    def _append(self, write: Append) -> Appended:
        message = write.message
        channel_id, user_id, ref = message.channel_id, message.user_id, message.ref
        if ref is not None:
            earlier = self.stored.get((channel_id, user_id, ref))
            if earlier is not None:
                state = self.states[channel_id, user_id]
                if state is None or state.channel.deleted:
                    raise NotFoundError(NO_CHANNEL)
                return Appended(earlier, True)
        if "\0" in message.payload:
            raise InvalidCommandError("A message cannot hold the character U+0000.")
        state = self._state(channel_id, user_id, write.rule)
        channel = state.channel
        channel.head = seq = channel.head + 1
        self.moved[channel_id] = state
        event = MessageEvent(channel_id, message.payload, user_id, 0, seq, rfc3339(message.sent_at))
        self.rows.append((channel_id, seq, user_id, message.payload, message.sent_at, ref))
        self.messages.append(event)
        self.tx.events.append(event)
        if ref is not None:
            self.stored[channel_id, user_id, ref] = event
        return Appended(event, False)

    def _enter(self, write: Enter) -> Joined:
        join = write.join
        state = self._state(join.channel_id, join.user_id, write.rule)
        channel, access = state.channel, state.access
        created = access.standing is None
        if created:
            access.standing = "member"
            channel.member_count += 1
            self.moved[channel.id] = state
            if channel.visibility != "public" or (
                channel.member_count <= self.tx.settings.named_members
            ):
                channel.head += 1
                at = join.at
                self.changes.append(
                    (channel.id, channel.head, "member.joined", *([join.user_id] * 2), "member", at)
                )
                self.tx.events.append(
                    MemberJoined(channel.id, channel.head, join.user_id, "member", rfc3339(at))
                )
            self.members.append((channel.id, join.user_id, "member", join.at, channel.head))
        # A copy: the state lives on while the batch is played.
        answer = Access(
            access.channel_id, access.visibility, access.deleted, access.standing, access.admin
        )
        return Joined(answer, channel.head, created, self.read_at)

    def _write(self) -> None:
        tx = self.tx
        connection, dialect = tx.connection, tx.dialect
        if self.users:
            # Two nodes that meet the same new users insert them in the same order: no deadlock.
            # The second waits until the first has committed.
            tx.inserting = self.users.keys()
            dialect.insert_new(connection, users, _USER, sorted(self.users.values()))
            tx.inserting = ()
        if self.members:
            dialect.insert(connection, members, _MEMBER, self.members)
        if self.changes:
            dialect.insert(connection, changes, _CHANGE, self.changes)
        moved = [
            (id_, state.channel.head, state.channel.member_count)
            for id_, state in self.moved.items()
        ]
        if self.rows:
            ids = dialect.append(connection, self.rows, moved)
            for event, id_ in zip(self.messages, ids, strict=True):
                event.id = id_
            tx.stored += len(self.rows)
        elif moved:
            dialect.advance(connection, moved)
