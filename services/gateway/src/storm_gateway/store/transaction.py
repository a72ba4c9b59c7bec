"""What a write sees while its transaction is open."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from sys import intern
from types import MappingProxyType
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, insert, update

from storm_gateway.errors import NotFoundError, UnavailableError
from storm_gateway.protocol.events import Durable
from storm_gateway.store.dialect import Dialect
from storm_gateway.store.log import kind_of, parts_of
from storm_gateway.store.records import Access, Visibility
from storm_gateway.store.tables import changes, channels
from storm_gateway.store.times import now_ms, rfc3339

NO_CHANNEL = "There is no such channel."
BUSY = "This channel is busy. Nothing was saved; try again."
RETRY_AFTER_MS = 1000


class Settings(msgspec.Struct, frozen=True):
    """The settings that decide what a write does."""

    named_members: int
    admin_ids: frozenset[str]


class ChannelState(msgspec.Struct, gc=False):
    """A channel as the transaction has it now."""

    id: int
    visibility: Visibility
    deleted: bool
    head: int
    member_count: int


class State(msgspec.Struct, gc=False):
    """One user before one channel: what rules are asked about."""

    channel: ChannelState
    access: Access
    user_known: bool
    user_deleted: bool
    user_banned: bool = False
    """From the server; a ban from the channel is the standing in ``access``."""


class Transaction:
    """One transaction of the writer, shared by all writes of a batch."""

    __slots__ = (
        "_locked",
        "_locked_users",
        "_stuck",
        "connection",
        "dialect",
        "events",
        "inserting",
        "locking",
        "now",
        "settings",
        "stored",
    )

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        settings: Settings,
        stuck: Mapping[int, bool] = MappingProxyType({}),
    ) -> None:
        """``stuck``: channels that were found locked, and whether messages wait for them."""
        self.connection = connection
        self.dialect = dialect
        self.settings = settings
        self.now = now_ms()
        """Milliseconds since 1970: the time of everything in this transaction."""
        self.events: list[Durable] = []
        """What is to be published after the commit."""
        self.stored = 0
        """Messages stored."""
        self.locking: Collection[int] = ()
        """The channels that are waited for now."""
        self.inserting: Collection[str] = ()
        """The users that are inserted now: another node may be inserting them too."""
        self._stuck = stuck
        self._locked: set[int] = set()
        self._locked_users: set[str] = set()

    @property
    def sent_at(self) -> str:
        """``now`` as events show it."""
        return rfc3339(self.now)

    def rows(self, query: Select[Any]) -> Sequence[Sequence[Any]]:
        """All rows of a query."""
        return self.dialect.rows(self.connection, query)

    def lock(self, channel_ids: Iterable[int], user_ids: Iterable[str] = ()) -> None:
        """No other node writes to these channels, or deletes these users, until the commit.

        ``UnavailableError``: a channel was found locked before, and still is.
        """
        missing = set(channel_ids) - self._locked
        users = set(user_ids) - self._locked_users
        if known := missing & self._stuck.keys():
            # Not past the messages that wait, and not for the lock that others waited for.
            if any(self._stuck[channel_id] for channel_id in known) or self.try_lock(known, ())[0]:
                raise UnavailableError(BUSY, retry_after_ms=RETRY_AFTER_MS)
            missing -= known
        if missing or users:
            self.locking = missing
            self.dialect.lock(self.connection, missing, users)
            self.locking = ()
            self._locked |= missing
            self._locked_users |= users

    def try_lock(
        self, channel_ids: Iterable[int], user_ids: Iterable[str]
    ) -> tuple[dict[int, int], set[str]]:
        """Lock what can be locked without waiting. The rest: channels with their heads, users."""
        channels, users = set(channel_ids), set(user_ids)
        locked, locked_users = self.dialect.try_lock(self.connection, channels, users)
        self._locked.update(locked)
        self._locked_users.update(locked_users)
        return self.dialect.held(
            self.connection, channels.difference(locked), users.difference(locked_users)
        )

    def state(self, channel_id: int, user_id: str, *, lock: bool = True) -> State:
        """Channel and user as they are now. ``NotFoundError``: no channel, or deleted.

        Without ``lock`` another node may be writing to the channel at this moment.
        """
        if lock:
            self.lock([channel_id])
        found = states(
            self.connection, self.dialect, self.settings.admin_ids, [(channel_id, user_id)]
        )[0]
        if found is None or found.channel.deleted:
            raise NotFoundError(NO_CHANNEL)
        return found

    def next_seq(self, channel_id: int) -> int:
        """Take the next number of the channel's log."""
        query = (
            update(channels)
            .where(channels.c.id == channel_id)
            .values(head=channels.c.head + 1)
            .returning(channels.c.head)
        )
        return int(self.connection.execute(query).scalar_one())

    def log(self, event: Durable, *, actor: str, ref: str | None = None) -> None:
        """Store a change under the seq that its event has, and have the event published."""
        subject, message_id, data = parts_of(event)
        self.connection.execute(
            insert(changes).values(
                channel_id=event.channel_id,
                seq=event.seq,
                kind=kind_of(event),
                actor=actor,
                subject=subject,
                message_id=message_id,
                data=data,
                sent_at=self.now,
                ref=ref,
            )
        )
        self.events.append(event)


def states(
    connection: Connection,
    dialect: Dialect,
    admin_ids: frozenset[str],
    pairs: Iterable[Sequence[Any]],
) -> list[State | None]:
    """Each (channel id, user id) in one query; None: no such channel.

    Pairs of one channel share its :class:`ChannelState`.
    """
    pairs = list(pairs)
    return states_of(pairs, dialect.states(connection, pairs), admin_ids)


def states_of(
    pairs: Iterable[Sequence[Any]], rows: Iterable[Sequence[Any]], admin_ids: frozenset[str]
) -> list[State | None]:
    """The same from rows of ``STATE_COLUMNS``."""
    known: dict[int, ChannelState] = {}
    found: list[State | None] = []
    for (channel_id, user_id), row in zip(pairs, rows, strict=True):
        visibility, deleted, head, count, standing, admin, user_gone = row
        if visibility is None:
            found.append(None)
            continue
        channel = known.get(channel_id)
        if channel is None:
            channel = ChannelState(channel_id, visibility, bool(deleted), head, count)
            known[channel_id] = channel
        # The driver makes a string for each row; remembered, they would be many of the same.
        access = Access(
            channel_id,
            _shared(visibility),
            bool(deleted),
            standing and _shared(standing),
            bool(admin) or user_id in admin_ids,
        )
        found.append(
            State(
                channel,
                access,
                user_gone is not None,
                user_gone == "deleted",
                user_gone == "banned",
            )
        )
    return found


def _shared(word: str) -> Any:
    return intern(word)
