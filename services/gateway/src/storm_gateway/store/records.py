"""What the store gives back: plain records, the same for every database."""

from typing import Literal

import msgspec

from storm_gateway.protocol.events import Durable, MessageEvent, Role

Visibility = Literal["public", "private", "direct"]
Standing = Literal["owner", "moderator", "member", "banned"]
"""What stands in a membership row: a role, or that the user is banned."""


class User(msgspec.Struct, omit_defaults=True):
    """A person or a bot. Of a deleted one only the id is left, so that old messages keep it."""

    id: str
    display_name: str
    created_at: str
    admin: bool = False
    deleted: bool = False
    banned_at: str | None = None
    """Since when the user is banned from the server."""


class Channel(msgspec.Struct, kw_only=True):
    """A conversation. ``head`` is the newest seq of its log."""

    id: int
    name: str
    topic: str
    visibility: Visibility
    created_by: str
    created_at: str
    head: int
    member_count: int


class ChannelView(Channel, kw_only=True):
    """A channel as one user sees it."""

    role: Role | None
    """None: not a member (a public channel that the user may join)."""
    read_seq: int
    unread: int
    """Messages after ``read_seq`` by others that are not deleted; 0 for non-members."""
    peer: str | None = None
    """The other user of a direct channel."""


class Member(msgspec.Struct):
    """A user's lasting right to a channel, or the ban from it."""

    channel_id: int
    user_id: str
    display_name: str
    standing: Standing
    joined_at: str


class Access(msgspec.Struct, gc=False):
    """What decides whether a user may do something in a channel; rules are functions of it."""

    channel_id: int
    visibility: Visibility
    deleted: bool
    standing: Standing | None
    admin: bool = False


class Reaction(msgspec.Struct):
    """One emoji under a message and who chose it, oldest first."""

    emoji: str
    user_ids: list[str]


class HistoryMessage(msgspec.Struct, omit_defaults=True):
    """A message in a history page (contract: newest first)."""

    id: int
    channel_id: int
    user_id: str
    subject: str
    payload: str
    created_at: str
    seq: int
    edited_at: str | None = None
    deleted: bool = False
    author_deleted: bool = False
    reactions: list[Reaction] = []


class AppendMessage(msgspec.Struct, gc=False):
    """The hot write: one message. ``sent_at`` is milliseconds since 1970, UTC."""

    channel_id: int
    user_id: str
    payload: str
    sent_at: int
    ref: str | None = None


class Appended(msgspec.Struct, gc=False):
    """Where a message stands. ``repeated``: it stood there already, stored by an earlier try."""

    event: MessageEvent
    repeated: bool


class Join(msgspec.Struct, gc=False):
    """The other hot write: come into a public channel, or be found a member already.

    Makes the user when the id is unknown (contract: foreign tokens).
    """

    channel_id: int
    user_id: str
    at: int


class Joined(msgspec.Struct, gc=False):
    """``access`` after the join; ``head`` of the channel at that moment.

    ``read_at``: when it was read, by ``time.monotonic`` of this node; what is learned of removals
    from then on is not in it.
    """

    access: Access
    head: int
    created: bool
    read_at: float = 0.0


class Committed(msgspec.Struct, gc=False):
    """The events of one commit, per channel in seq order: what is to be published."""

    events: list[Durable]


class Replay(msgspec.Struct):
    """Events after a seq, in order, without holes between ``first`` and ``head``.

    When more than the limit are missing, the newest ``limit`` are given and ``gap`` tells the
    range (both ends included) that is not.
    """

    head: int
    events: list[Durable]
    gap: tuple[int, int] | None


BANNED = "You are banned from this server."
"""What a user who is banned from the server is told, wherever they knock."""

AGAIN_SECONDS = 10.0
"""How long after its use a refresh token may be used again for the same successor."""


class Rotation(msgspec.Struct):
    """The outcome of using a refresh token.

    ``again``: it was swapped for this very successor a moment ago, and the successor was not used
    yet; nothing was changed.
    """

    outcome: Literal["rotated", "again", "reused", "unknown"]
    user_id: str = ""
    family: str = ""


class Revocations(msgspec.Struct):
    """What a starting node must know: logins and users whose access tokens are void.

    ``users`` maps a user id to the time (seconds since 1970) before which tokens are void.
    ``banned`` is everybody who is banned from the server now, whenever that began.
    """

    families: list[str]
    users: dict[str, float]
    deleted: list[str]
    banned: list[str] = []


class ImportMessage(msgspec.Struct):
    """One message of an older system, with its author and time (milliseconds, UTC).

    ``key`` names it within its source: importing it again stores nothing twice.
    """

    user_id: str
    payload: str
    sent_at: int
    key: str
