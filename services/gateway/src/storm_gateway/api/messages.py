"""``/channels/{id}/messages``: history, and what changes it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from storm_gateway.actions.messages import PAYLOAD_PATTERN
from storm_gateway.api.edge import Edge, PacedUser, User
from storm_gateway.api.errors import documented
from storm_gateway.api.models import (
    ChannelId,
    EditIn,
    EmojiPath,
    Limit,
    MessageId,
    MessageIn,
    MessageOut,
)
from storm_gateway.errors import InvalidRequestError
from storm_gateway.protocol.commands import MAX_SAFE_INTEGER
from storm_gateway.store.records import HistoryMessage

router = APIRouter(prefix="/channels/{channel_id}/messages", tags=["messages"])
_Seq = Annotated[int | None, Query(ge=0, le=MAX_SAFE_INTEGER)]

_POSTED = {
    "application/json": {"schema": MessageIn.model_json_schema()},
    "text/plain": {"schema": {"type": "string", "pattern": PAYLOAD_PATTERN}},
}


@router.get(
    "",
    operation_id="list_messages",
    response_model=list[MessageOut],
    responses=documented(400, 401, 403, 404),
)
async def list_messages(
    edge: Edge,
    user: User,
    channel_id: ChannelId,
    limit: Limit = 50,
    before: _Seq = None,
    after: _Seq = None,
) -> list[HistoryMessage]:
    """A page of history, newest first. `before` and `after` are a `seq`: the page that ends
    before it, or begins after it.
    """
    return await edge.actions.messages.history(user.user_id, channel_id, limit, before, after)


@router.post(
    "",
    operation_id="post_message",
    status_code=201,
    responses=documented(400, 401, 403, 404, 413, 429),
    openapi_extra={"requestBody": {"required": True, "content": _POSTED}},
)
async def post_message(
    edge: Edge, request: Request, user: PacedUser, channel_id: ChannelId
) -> MessageOut:
    """Say something: JSON, or the text itself as the body. With the `ref` of an earlier message
    nothing is stored again and that message comes back.
    """
    payload, ref = _read(await request.body(), request.headers.get("content-type", ""))
    appended = await edge.actions.messages.post(user.user_id, channel_id, payload, ref)
    return MessageOut.of_event(appended.event)


@router.get(
    "/{message_id}",
    operation_id="get_message",
    response_model=MessageOut,
    responses=documented(400, 401, 403, 404),
)
async def get_message(
    edge: Edge, user: User, channel_id: ChannelId, message_id: MessageId
) -> HistoryMessage:
    """One message as it is now."""
    return await edge.actions.messages.get(user.user_id, channel_id, message_id)


@router.patch(
    "/{message_id}",
    operation_id="edit_message",
    response_model=MessageOut,
    responses=documented(400, 401, 403, 404, 409, 413, 429),
)
async def edit_message(
    edge: Edge, user: PacedUser, channel_id: ChannelId, message_id: MessageId, body: EditIn
) -> HistoryMessage:
    """Replace the text of one's own message."""
    messages = edge.actions.messages
    await messages.edit(user.user_id, channel_id, message_id, body.payload, body.ref)
    return await messages.get(user.user_id, channel_id, message_id)


@router.delete(
    "/{message_id}",
    operation_id="delete_message",
    status_code=204,
    responses=documented(400, 401, 403, 404, 429),
)
async def delete_message(
    edge: Edge, user: PacedUser, channel_id: ChannelId, message_id: MessageId
) -> None:
    """Delete one's own message; moderators and owners, anyone's. Its text is forgotten."""
    await edge.actions.messages.delete(user.user_id, channel_id, message_id)


@router.put(
    "/{message_id}/reactions/{emoji}",
    operation_id="add_reaction",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def add_reaction(
    edge: Edge, user: PacedUser, channel_id: ChannelId, message_id: MessageId, emoji: EmojiPath
) -> None:
    """React to a message."""
    await edge.actions.messages.react(user.user_id, channel_id, message_id, emoji, True)


@router.delete(
    "/{message_id}/reactions/{emoji}",
    operation_id="remove_reaction",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def remove_reaction(
    edge: Edge, user: PacedUser, channel_id: ChannelId, message_id: MessageId, emoji: EmojiPath
) -> None:
    """Take one's own reaction back."""
    await edge.actions.messages.react(user.user_id, channel_id, message_id, emoji, False)


@router.post(
    "/{message_id}/read",
    operation_id="mark_read",
    status_code=204,
    responses=documented(400, 401, 403, 404, 429),
)
async def mark_read(
    edge: Edge, user: PacedUser, channel_id: ChannelId, message_id: MessageId
) -> None:
    """Move one's read cursor to this message; it never moves back. A body is ignored."""
    await edge.actions.reads.read_message(user.user_id, channel_id, message_id)


def _read(body: bytes, content_type: str) -> tuple[str, str | None]:
    """(payload, ref) of a message, sent as JSON or as its text."""
    kind = content_type.partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if is_json or kind != "text/plain":
        # ``curl -d`` and old clients send JSON under another name, or none.
        try:
            message = MessageIn.model_validate_json(body)
        except ValidationError as error:
            if is_json:
                faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
                raise RequestValidationError(faults) from None
        else:
            return message.payload, message.ref
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not UTF-8 text.") from None
