"""The shapes of requests and answers, as the OpenAPI document shows them.

Fields that a request has but the model does not are ignored: clients of the older system send
some. Numbers are numbers and texts are texts: nothing is converted.
"""

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from storm_gateway.actions.messages import PAYLOAD_PATTERN
from storm_gateway.actions.names import (
    CHANNEL_NAME_CHARACTERS,
    DISPLAY_NAME_CHARACTERS,
    EMOJI_PATTERN,
    LINE_PATTERN,
    PASSWORD_CHARACTERS,
    TOPIC_CHARACTERS,
    TOPIC_PATTERN,
    USER_ID_PATTERN,
    USER_ID_RULE,
)
from storm_gateway.protocol.commands import MAX_SAFE_INTEGER, REF_PATTERN
from storm_gateway.protocol.events import MessageEvent, Role
from storm_gateway.store.records import Visibility

ChannelId = Annotated[int, Path(ge=1, le=MAX_SAFE_INTEGER, description="Id of a channel.")]
MessageId = Annotated[int, Path(ge=1, le=MAX_SAFE_INTEGER, description="Id of a message.")]
UserIdPath = Annotated[
    str, Path(pattern=USER_ID_PATTERN, description=USER_ID_RULE, examples=["alice"])
]
EmojiPath = Annotated[
    str, Path(pattern=EMOJI_PATTERN, description="An emoji, percent-encoded.", examples=["👍"])
]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
AfterId = Annotated[
    str,
    Query(
        pattern=r"^[A-Za-z0-9._@+\-]{0,64}$",
        description="Only those whose user id comes after this one.",
    ),
]
Seq = Annotated[int, Query(ge=0, le=MAX_SAFE_INTEGER)]

UserId = Annotated[
    str, Field(pattern=USER_ID_PATTERN, description=USER_ID_RULE, examples=["alice"])
]
DisplayName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=DISPLAY_NAME_CHARACTERS,
        pattern=LINE_PATTERN,
        examples=["Alice Liddell"],
    ),
]
ChannelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=CHANNEL_NAME_CHARACTERS,
        pattern=LINE_PATTERN,
        examples=["gardening"],
    ),
]
Topic = Annotated[
    str,
    Field(
        max_length=TOPIC_CHARACTERS,
        pattern=TOPIC_PATTERN,
        examples=["What grows, and what does not"],
    ),
]
Payload = Annotated[
    str,
    Field(
        pattern=PAYLOAD_PATTERN,
        description="At most 4,000 characters (configurable), else 413.",
        examples=["Hello world"],
    ),
]
Password = Annotated[
    str,
    Field(
        min_length=PASSWORD_CHARACTERS[0],
        max_length=PASSWORD_CHARACTERS[1],
        examples=["a long secret"],
    ),
]
Ref = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=REF_PATTERN,
        description="Chosen by the client; the same ref stores nothing twice, for ever.",
        examples=["c7d1-42"],
    ),
]
Time = Annotated[str, Field(description="RFC 3339, UTC.", examples=["2026-11-05T12:30:00.125Z"])]


class _In(BaseModel):
    model_config = ConfigDict(strict=True)


def _one_of(*fields: str) -> ConfigDict:
    """For changes: at least one of the fields, and not null."""
    given: list[JsonValue] = [
        {"required": [each], "properties": {each: {"not": {"type": "null"}}}} for each in fields
    ]
    return ConfigDict(json_schema_extra={"anyOf": given})


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


# --- users and logins ---


class RegisterIn(_In):
    """A new user."""

    user_id: UserId
    password: Password
    display_name: DisplayName | None = None


class LoginIn(_In):
    """Name and password."""

    user_id: str = Field(min_length=1, max_length=256, examples=["alice"])
    password: str = Field(min_length=1, max_length=1024, examples=["a long secret"])


class MeIn(_In):
    """What to change about oneself; at least one of them."""

    model_config = _one_of("display_name", "password")

    display_name: DisplayName | None = None
    password: Password | None = None


class UserIn(MeIn):
    """What to change about a user; at least one of them."""

    model_config = _one_of("display_name", "password", "admin")

    admin: bool | None = Field(
        None, description="Server administrator or not; only administrators may say it."
    )


class UserOut(_Out):
    """A user."""

    id: str = Field(examples=["alice"])
    display_name: str = Field(examples=["Alice Liddell"])
    created_at: Time
    admin: bool = Field(False, description="Whether the user is a server administrator.")


class SeenUserOut(UserOut):
    """A user as others see them."""

    banned_at: Time | None = Field(
        None,
        description=(
            "Since when the user is banned from the server. Only administrators are told, and "
            "only of those who are banned."
        ),
    )


class LoginOut(UserOut):
    """The user, and the access token that the cookie holds too."""

    access_token: str
    expires_in: int = Field(description="Seconds.", examples=[900])


class RefreshOut(BaseModel):
    """A new access token; both cookies are new too."""

    status: Literal["refreshed"] = "refreshed"
    access_token: str
    expires_in: int = Field(description="Seconds.", examples=[900])


class LoggedOutOut(BaseModel):
    """The login has ended."""

    status: Literal["logged out"] = "logged out"


class DeletedOut(BaseModel):
    """It is gone."""

    status: Literal["deleted"] = "deleted"


class TicketOut(BaseModel):
    """Good once, as ``?token=`` of ``/ws``."""

    token: str
    expires_in: int = Field(description="Seconds.", examples=[60])


# --- channels and members ---


class ChannelIn(_In):
    """A new channel; whoever makes it owns it."""

    name: ChannelName
    visibility: Literal["public", "private"] = "public"
    topic: Topic = ""


class ChannelChangeIn(_In):
    """What to change about a channel; at least one of them."""

    model_config = _one_of("name", "topic", "visibility")

    name: ChannelName | None = None
    visibility: Literal["public", "private"] | None = None
    topic: Topic | None = None


class UserIdIn(_In):
    """Whom it is about."""

    user_id: UserId


class RoleIn(_In):
    """A member's new role."""

    role: Role


class ChannelOut(_Out):
    """A channel as the asking user sees it."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["general"])
    topic: str
    visibility: Visibility
    created_by: str
    created_at: Time
    head: int = Field(description="The newest seq of its log.")
    member_count: int
    role: Role | None = Field(description="Null: not a member.")
    read_seq: int = Field(description="How far the user has read.")
    unread: int = Field(description="Messages of others after `read_seq`, without deleted ones.")
    peer: str | None = Field(None, description="The other user of a direct channel.")


class MemberOut(BaseModel):
    """A member of a channel."""

    user_id: str
    display_name: str
    role: Role
    joined_at: Time


class BanOut(BaseModel):
    """A user who may not come in."""

    user_id: str
    display_name: str
    banned_at: Time


class InvitedOut(BaseModel):
    """Who is a member now."""

    channel_id: int
    user_id: str


class PresenceOut(_Out):
    """Who has a connection that receives the channel."""

    online: int
    users: list[str] | None = Field(description="Null where they are too many to be named.")


# --- the server ---


class NodeOut(_Out):
    """A node, as it told of itself a moment ago. Rates are per second, over some seconds."""

    node: str = Field(description="Its name.", examples=["gate-1"])
    version: str
    ready: bool = Field(description="Whether it delivers: what its `/readyz` says.")
    started_at: Time
    connections: int
    subscriptions: int = Field(description="Of connections to channels.")
    messages_per_second: float = Field(description="Stored by this node.")
    deliveries_per_second: float = Field(description="Events given to connections.")
    slow_consumers: int = Field(description="Connections closed with 4001 since its start.")
    loop_lag_seconds: float = Field(description="How late its event loop ran at worst.")
    memory_bytes: int = Field(description="Resident; 0 where the system does not say.")


class ServerChannelOut(_Out):
    """A channel as administrators see it, whether they belong to it or not."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["general"])
    topic: str
    visibility: Literal["public", "private"]
    created_by: str
    created_at: Time
    head: int = Field(description="The newest seq of its log.")
    member_count: int


# --- messages ---


class MessageIn(_In):
    """A message."""

    payload: Payload
    ref: Ref | None = None


class EditIn(_In):
    """The new text of a message."""

    payload: Payload
    ref: Ref | None = None


class ReactionOut(_Out):
    """One emoji, and who chose it."""

    emoji: str
    user_ids: list[str]


class MessageOut(_Out):
    """A message as it is now."""

    id: int
    channel_id: int
    user_id: str
    subject: str = Field(examples=["channels.1"])
    payload: str = Field(description="Empty when deleted.")
    created_at: Time
    seq: int = Field(description="Its place in the log of the channel.")
    edited_at: str | None = None
    deleted: bool = False
    author_deleted: bool = False
    reactions: list[ReactionOut] = []

    @classmethod
    def of_event(cls, event: MessageEvent) -> "MessageOut":
        """The message that an event tells of."""
        return cls(
            id=event.id,
            channel_id=event.channel_id,
            user_id=event.user_id,
            subject=f"channels.{event.channel_id}",
            payload=event.payload,
            created_at=event.sent_at,
            seq=event.seq,
            edited_at=event.edited_at,
            deleted=event.deleted,
        )


class ReasonsOut(BaseModel):
    """Why the node is not ready; empty when it is."""

    reasons: list[str]
