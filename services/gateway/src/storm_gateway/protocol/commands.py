"""What a client may say: one tagged struct for each command.

A frame is one JSON object whose ``type`` names the command. Fields that are not in the table are
refused, so that a typing error is told and not ignored.
"""

from typing import Annotated

import msgspec

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259 § 6)."""

Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
REF_PATTERN = r"^[^\x00]+$"
"""Not every database can keep U+0000 in a text."""
Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=REF_PATTERN)]
Emoji = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


class _Command(
    msgspec.Struct, tag_field="type", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """Base of all commands."""


class Message(_Command, tag="message"):
    """Say something in a channel. With ``ref``: acknowledged once durable, stored once."""

    channel_id: Id
    payload: str
    ref: Ref | None = None
    user_id: str | None = None


class Edit(_Command, tag="edit"):
    """Replace the text of one's own message."""

    channel_id: Id
    message_id: Id
    payload: str
    ref: Ref | None = None


class Delete(_Command, tag="delete"):
    """Delete one's own message; a moderator, anyone's."""

    channel_id: Id
    message_id: Id
    ref: Ref | None = None


class React(_Command, tag="react"):
    """Add a reaction to a message."""

    channel_id: Id
    message_id: Id
    emoji: Emoji
    ref: Ref | None = None


class Unreact(_Command, tag="unreact"):
    """Take one's own reaction back."""

    channel_id: Id
    message_id: Id
    emoji: Emoji
    ref: Ref | None = None


class Typing(_Command, tag="typing"):
    """Tell the channel that the user is writing. Ephemeral."""

    channel_id: Id
    ref: Ref | None = None


class Read(_Command, tag="read"):
    """Move the read cursor forward to ``seq``. It never moves back."""

    channel_id: Id
    seq: Seq
    ref: Ref | None = None


class Subscribe(_Command, tag="subscribe"):
    """Receive a channel. With ``since``: first everything after that ``seq``."""

    channel_id: Id
    since: Seq | None = None
    ref: Ref | None = None


class Unsubscribe(_Command, tag="unsubscribe"):
    """Stop receiving a channel. Membership stays."""

    channel_id: Id
    ref: Ref | None = None


class Authenticate(_Command, tag="authenticate"):
    """Renew the token of this connection, for the same user."""

    token: str
    ref: Ref | None = None


class Ping(_Command, tag="ping"):
    """Ask for a ``pong``, for clients that cannot send protocol pings (browsers)."""

    ref: Ref | None = None


Command = (
    Message
    | Edit
    | Delete
    | React
    | Unreact
    | Typing
    | Read
    | Subscribe
    | Unsubscribe
    | Authenticate
    | Ping
)

COMMANDS: tuple[type[_Command], ...] = (
    Message,
    Edit,
    Delete,
    React,
    Unreact,
    Typing,
    Read,
    Subscribe,
    Unsubscribe,
    Authenticate,
    Ping,
)
