"""``/channels/{id}/members`` and ``/bans``: who belongs, decided by others."""

from fastapi import APIRouter, Response

from storm_gateway.api.edge import Edge, PacedUser, User
from storm_gateway.api.errors import documented
from storm_gateway.api.models import (
    AfterId,
    BanOut,
    ChannelId,
    InvitedOut,
    Limit,
    MemberOut,
    RoleIn,
    UserIdIn,
    UserIdPath,
)

router = APIRouter(prefix="/channels/{channel_id}", tags=["members"])


@router.get("/members", operation_id="list_members", responses=documented(400, 401, 403, 404))
async def list_members(
    edge: Edge, user: User, channel_id: ChannelId, limit: Limit = 100, after: AfterId = ""
) -> list[MemberOut]:
    """The members in the order of their ids."""
    members = await edge.actions.members.page(user.user_id, channel_id, limit, after)
    return [
        MemberOut(
            user_id=member.user_id,
            display_name=member.display_name,
            role=member.standing,
            joined_at=member.joined_at,
        )
        for member in members
        if member.standing != "banned"
    ]


@router.post(
    "/members",
    operation_id="invite_member",
    status_code=201,
    responses={
        200: {"model": InvitedOut, "description": "A member already."},
        **documented(400, 401, 403, 404, 409, 413, 429),
    },
)
async def invite_member(
    edge: Edge, response: Response, user: PacedUser, channel_id: ChannelId, body: UserIdIn
) -> InvitedOut:
    """Make somebody a member; moderators and owners may."""
    added = await edge.actions.members.invite(user.user_id, channel_id, body.user_id)
    response.status_code = 201 if added else 200
    return InvitedOut(channel_id=channel_id, user_id=body.user_id)


@router.patch(
    "/members/{user_id}",
    operation_id="set_role",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 413, 429),
)
async def set_role(
    edge: Edge, user: PacedUser, channel_id: ChannelId, user_id: UserIdPath, body: RoleIn
) -> None:
    """Give a member another role; owners may."""
    await edge.actions.members.set_role(user.user_id, channel_id, user_id, body.role)


@router.delete(
    "/members/{user_id}",
    operation_id="remove_member",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def remove_member(
    edge: Edge, user: PacedUser, channel_id: ChannelId, user_id: UserIdPath
) -> None:
    """Take a member out, who stops receiving at once; moderators and owners may."""
    await edge.actions.members.remove(user.user_id, channel_id, user_id)


@router.get("/bans", operation_id="list_bans", responses=documented(400, 401, 403, 404))
async def list_bans(
    edge: Edge, user: User, channel_id: ChannelId, limit: Limit = 100, after: AfterId = ""
) -> list[BanOut]:
    """Who is banned; moderators and owners may see it."""
    banned = await edge.actions.members.banned(user.user_id, channel_id, limit, after)
    return [
        BanOut(user_id=ban.user_id, display_name=ban.display_name, banned_at=ban.joined_at)
        for ban in banned
    ]


@router.put(
    "/bans/{user_id}",
    operation_id="ban_user",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def ban_user(edge: Edge, user: PacedUser, channel_id: ChannelId, user_id: UserIdPath) -> None:
    """Take somebody out and keep them out; moderators and owners may."""
    await edge.actions.members.ban(user.user_id, channel_id, user_id)


@router.delete(
    "/bans/{user_id}",
    operation_id="unban_user",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def unban_user(
    edge: Edge, user: PacedUser, channel_id: ChannelId, user_id: UserIdPath
) -> None:
    """Let somebody in again; moderators and owners may."""
    await edge.actions.members.unban(user.user_id, channel_id, user_id)
