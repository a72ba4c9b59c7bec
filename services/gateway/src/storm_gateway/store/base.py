"""The port of the store.

Rules of every method:

- Writes of one moment are committed together (group commit); a method returns, and ``done`` is
  called, only after the commit is on disk. ``done`` is called on the event loop, in commit order,
  with the result or a ``StormError``.
- The durable events that a write makes are handed to the ``committed`` listener, in commit order,
  before the write's caller hears of it: what was published follows the order of the log.
- ``rule`` is called inside the transaction with the user's :class:`Access`; what it raises is the
  outcome of the write, and nothing of it is stored. So a right that was taken away a moment ago
  cannot be used.
- A channel that does not exist, or is deleted, is ``NotFoundError``; a rule decides the rest.
- ``ref``, where given, makes a write idempotent per (channel, user, ref), for ever: a repetition
  returns the first outcome and makes no event.
- Away or slow: ``UnavailableError``, which a client may retry.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from storm_gateway.errors import StormError
from storm_gateway.protocol.events import ChannelDeleted, Role
from storm_gateway.store.records import (
    Access,
    Appended,
    AppendMessage,
    Channel,
    ChannelView,
    Committed,
    HistoryMessage,
    ImportMessage,
    Join,
    Joined,
    Member,
    Replay,
    Revocations,
    Rotation,
    User,
    Visibility,
)

T = TypeVar("T")
Rule = Callable[[Access], None]
AuthorRule = Callable[[Access, str], None]
"""A rule that also looks at the author of the message at stake."""
Done = Callable[[T | StormError], None]


class Users(Protocol):
    """People."""

    async def create(self, user_id: str, display_name: str, password_hash: str | None) -> User:
        """``NameTakenError`` when the id exists or once existed."""

    async def ensure(self, user_id: str) -> User:
        """The user; made, without a password, when unknown. Deleted: ``UnauthenticatedError``;
        banned: ``BannedError``.
        """

    async def get(self, user_id: str) -> User | None: ...

    async def password_hash(self, user_id: str) -> str | None:
        """None: unknown, deleted or without password."""

    async def page(self, limit: int, after: str = "", contains: str = "") -> list[User]:
        """By id, deleted ones left out."""

    async def update(
        self, user_id: str, *, display_name: str | None = None, password_hash: str | None = None
    ) -> User:
        """``NotFoundError`` when unknown. A new password voids tokens issued before."""

    async def rehash(self, user_id: str, old_hash: str, new_hash: str) -> None:
        """The same password, hashed anew: no token ends. Nothing when it was changed meanwhile."""

    async def set_admin(self, user_id: str, admin: bool) -> User:
        """``ConflictError``: who is banned becomes no administrator."""

    async def ban(self, user_id: str, by: str | None = None) -> User:
        """Keep a user out of the server: no login, all tokens void, no administrator any more.
        ``by`` must be a server administrator; None: whoever has the database in their hands.
        ``ConflictError``: oneself, or the last administrator. Banning twice is no error.
        """

    async def unban(self, user_id: str) -> User:
        """Tokens of before stay void. Who is not banned: no error."""

    async def delete(self, user_id: str) -> None:
        """Leave all channels, forget name and password, void all tokens; messages stay."""


class Tokens(Protocol):
    """Refresh tokens, by hash; a login is a family of successive ones."""

    async def save(
        self,
        token_hash: bytes,
        family: str,
        user_id: str,
        expires_at: float,
        password_hash: str | None = None,
    ) -> bool:
        """Begin a login; False, and nothing is stored, when the user's password is not of
        ``password_hash`` (any more). ``BannedError``: the user is banned from the server.
        """

    async def rotate(
        self, old_hash: bytes, new_hash: bytes, expires_at: float, now: float
    ) -> Rotation:
        """Swap. A token used twice revokes its family (``reused``), unless the second use comes
        within ``AGAIN_SECONDS``, asks for the very same successor, and that one was not used yet:
        then nothing changes (``again``). So two tabs, or an answer that was lost, end no login,
        whatever nodes they meet, where the successor is derived from the token.
        """

    async def revoke(self, token_hash: bytes) -> str | None:
        """Log out: the family of the token is void. Returns it, None when unknown."""

    async def revoke_user(self, user_id: str, at: float) -> None:
        """All families of the user, and every access token issued before ``at``."""

    async def revocations(self, since: float) -> Revocations: ...

    async def purge(self, now: float) -> int:
        """Forget what expired; returns how many rows."""


class Channels(Protocol):
    """Conversations and who belongs to them."""

    async def create(
        self, name: str, visibility: Visibility, topic: str, created_by: str
    ) -> Channel:
        """The creator becomes owner. Names of public and private channels are unique."""

    async def direct(self, user_id: str, peer: str) -> tuple[Channel, bool]:
        """The direct channel of two users, and whether it was made now. Found again, not made
        twice, whoever asks. Unknown or deleted peer: ``NotFoundError``; oneself: ``ConflictError``.
        """

    async def get(self, channel_id: int) -> Channel | None: ...

    async def page(self, limit: int, after: int = 0, contains: str = "") -> list[Channel]:
        """Public and private ones by id, whoever belongs to them; never direct ones."""

    async def visible_to(self, user_id: str) -> list[ChannelView]:
        """Public channels and those that the user belongs to; not those banned from. By id."""

    async def view(self, channel_id: int, user_id: str) -> ChannelView | None: ...

    async def update(
        self,
        channel_id: int,
        by: str,
        rule: Rule,
        *,
        name: str | None = None,
        topic: str | None = None,
        visibility: Visibility | None = None,
    ) -> Channel: ...

    async def delete(self, channel_id: int, by: str, rule: Rule) -> None: ...

    async def access(self, pairs: Sequence[tuple[int, str]]) -> list[Access | None]:
        """For each (channel, user); None where there is no such channel. One query for all."""

    async def open(self, channel_ids: Iterable[int]) -> set[int]:
        """Those that are public and have no banned user: everybody may receive them."""

    async def members(
        self, channel_id: int, *, limit: int, after: str = "", banned: bool = False
    ) -> list[Member]: ...

    def join(self, join: Join, rule: Rule, done: Done[Joined]) -> None:
        """Come into a public channel, hot: many of one moment are one statement. A crowded
        channel (``named_members``) counts a join without an event.
        """

    async def add(self, channel_id: int, user_id: str, by: str, rule: Rule) -> bool:
        """Invite: the user becomes a member. False when already one."""

    async def leave(self, channel_id: int, user_id: str) -> None:
        """``ConflictError`` for the last owner while others are members."""

    async def remove(
        self,
        channel_id: int,
        user_id: str,
        by: str,
        rule: Callable[[Access, Access], None],
        *,
        ban: bool,
    ) -> None:
        """Take membership away; the rule sees (who removes, who is removed). A ban also keeps a
        non-member out.
        """

    async def unban(self, channel_id: int, user_id: str, by: str, rule: Rule) -> None: ...

    async def set_role(
        self,
        channel_id: int,
        user_id: str,
        role: Role,
        by: str,
        rule: Callable[[Access, Access], None],
    ) -> None: ...

    async def heads(self, channel_ids: Iterable[int]) -> dict[int, int]:
        """The newest seq of each; deleted and unknown ones are left out."""

    async def moved(self, known: Mapping[int, int]) -> dict[int, int | None]:
        """The newest seq of those channels where it is another than the ``known`` one; None:
        deleted or unknown. Asked of thousands again and again, of which few or none have moved.
        """

    async def deletion(self, channel_id: int) -> ChannelDeleted | None:
        """The event that ended the channel; None while it lives, and when there is none."""


class Messages(Protocol):
    """The log of each channel."""

    def append(self, message: AppendMessage, rule: Rule, done: Done[Appended]) -> None:
        """The hot write: many messages of one moment are a handful of statements."""

    async def edit(
        self,
        channel_id: int,
        message_id: int,
        user_id: str,
        payload: str,
        ref: str | None,
        rule: AuthorRule,
    ) -> tuple[int, int]:
        """Returns (message id, seq of the change)."""

    async def delete(
        self, channel_id: int, message_id: int, user_id: str, ref: str | None, rule: AuthorRule
    ) -> tuple[int, int]:
        """The payload is forgotten. Deleting twice is no error: the first seq comes back."""

    async def react(
        self,
        channel_id: int,
        message_id: int,
        user_id: str,
        emoji: str,
        *,
        add: bool,
        ref: str | None,
        rule: Rule,
    ) -> tuple[int, int]:
        """Adding what is there, or taking what is not, changes nothing and makes no event: the
        message's own seq comes back.
        """

    async def page(
        self, channel_id: int, *, limit: int, before: int | None = None, after: int | None = None
    ) -> list[HistoryMessage]:
        """Messages, newest first; ``after`` gives those next after it (still newest first)."""

    async def get(self, channel_id: int, message_id: int) -> HistoryMessage | None: ...

    async def replay(
        self, channel_id: int, after: int, limit: int, upto: int | None = None
    ) -> Replay:
        """The log after a seq (up to ``upto``, both as seq). A message that was edited or deleted
        since is given as it is now.
        """

    async def set_read(self, channel_id: int, user_id: str, seq: int) -> int:
        """Move the cursor of a member forward, never back, never past the head; returns it."""

    async def load(
        self, channel_name: str, messages: Sequence[ImportMessage], source: str
    ) -> tuple[int, int, int]:
        """Import one batch into a public channel (made when missing) with authors and times.
        Returns (channel id, stored, already there). Authors become users without password.
        """


class Store(Protocol):
    """All of it."""

    @property
    def users(self) -> Users: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def channels(self) -> Channels: ...

    @property
    def messages(self) -> Messages: ...

    @property
    def queue_length(self) -> int:
        """Writes waiting for commit."""

    async def start(self, committed: Callable[[Committed], None]) -> None:
        """Open, migrate, and tell ``committed`` of each commit from now on."""

    async def stop(self) -> None:
        """Commit what waits, then close."""

    async def probe(self, timeout_seconds: float) -> None:
        """``UnavailableError`` when the store does not answer in time; ``CannotWriteError``, whose
        message says why, when it takes nothing: it is full, or only lets read.
        """

    async def epoch(self) -> str:
        """Which life of the database this is: another one after a backup was restored."""
