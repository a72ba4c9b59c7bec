"""``/channels`` and ``/direct``: conversations as a whole."""

from fastapi import APIRouter, Response

from storm_gateway.api.edge import Edge, PacedUser, User
from storm_gateway.api.errors import documented
from storm_gateway.api.models import (
    ChannelChangeIn,
    ChannelId,
    ChannelIn,
    ChannelOut,
    PresenceOut,
    UserIdIn,
)
from storm_gateway.presence.base import PresenceSnapshot
from storm_gateway.store.records import ChannelView

router = APIRouter(tags=["channels"])


@router.get(
    "/channels",
    operation_id="list_channels",
    response_model=list[ChannelOut],
    responses=documented(401),
)
async def list_channels(edge: Edge, user: User) -> list[ChannelView]:
    """The channels that the user may see: public ones and the user's own, by id."""
    return await edge.actions.channels.visible_to(user.user_id)


@router.post(
    "/channels",
    operation_id="create_channel",
    status_code=201,
    response_model=ChannelOut,
    responses=documented(400, 401, 403, 409, 413, 429),
)
async def create_channel(edge: Edge, user: PacedUser, body: ChannelIn) -> ChannelView:
    """Make a channel and own it."""
    return await edge.actions.channels.create(user.user_id, body.name, body.visibility, body.topic)


@router.get(
    "/channels/{channel_id}",
    operation_id="get_channel",
    response_model=ChannelOut,
    responses=documented(400, 401, 403, 404),
)
async def get_channel(edge: Edge, user: User, channel_id: ChannelId) -> ChannelView:
    """One channel, with how far the user has read and what is unread."""
    return await edge.actions.channels.get(user.user_id, channel_id)


@router.patch(
    "/channels/{channel_id}",
    operation_id="update_channel",
    response_model=ChannelOut,
    responses=documented(400, 401, 403, 404, 409, 413, 429),
)
async def update_channel(
    edge: Edge, user: PacedUser, channel_id: ChannelId, body: ChannelChangeIn
) -> ChannelView:
    """Change name, topic or visibility; owners may."""
    return await edge.actions.channels.update(
        user.user_id,
        channel_id,
        name=body.name,
        topic=body.topic,
        visibility=body.visibility,
    )


@router.delete(
    "/channels/{channel_id}",
    operation_id="delete_channel",
    status_code=204,
    responses=documented(400, 401, 403, 404, 429),
)
async def delete_channel(edge: Edge, user: PacedUser, channel_id: ChannelId) -> None:
    """Delete the channel for everybody; owners may."""
    await edge.actions.channels.delete(user.user_id, channel_id)


@router.post(
    "/channels/{channel_id}/join",
    operation_id="join_channel",
    response_model=ChannelOut,
    responses=documented(400, 401, 403, 404, 429),
)
async def join_channel(edge: Edge, user: PacedUser, channel_id: ChannelId) -> ChannelView:
    """Come into a public channel. Being in it already is no error."""
    return await edge.actions.channels.enter(user.user_id, channel_id)


@router.post(
    "/channels/{channel_id}/leave",
    operation_id="leave_channel",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def leave_channel(edge: Edge, user: PacedUser, channel_id: ChannelId) -> None:
    """Go. The last owner gives the role to somebody first."""
    await edge.actions.channels.leave(user.user_id, channel_id)


@router.get(
    "/channels/{channel_id}/presence",
    operation_id="get_presence",
    response_model=PresenceOut,
    responses=documented(400, 401, 403, 404),
)
async def get_presence(edge: Edge, user: User, channel_id: ChannelId) -> PresenceSnapshot:
    """Who is online in the channel now."""
    await edge.actions.channels.may_receive(user.user_id, channel_id)
    return await edge.presence(channel_id)


@router.post(
    "/direct",
    operation_id="open_direct",
    response_model=ChannelOut,
    responses={
        200: {"description": "It was there already."},
        201: {"model": ChannelOut, "description": "It was made now."},
        **documented(400, 401, 403, 404, 409, 413, 429),
    },
)
async def open_direct(
    edge: Edge, response: Response, user: PacedUser, body: UserIdIn
) -> ChannelView:
    """The direct channel with another user: found again, or made."""
    channel, created = await edge.actions.channels.direct(user.user_id, body.user_id)
    response.status_code = 201 if created else 200
    return channel
