"""``/server``: the whole of it, for server administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from storm_gateway.actions.identity import Identity
from storm_gateway.actions.names import TOPIC_PATTERN
from storm_gateway.api.edge import Edge, PacedUser, User
from storm_gateway.api.errors import documented
from storm_gateway.api.models import Limit, NodeOut, Seq, ServerChannelOut, UserIdPath
from storm_gateway.bus.report import NodeReport
from storm_gateway.store import records

router = APIRouter(prefix="/server", tags=["server"])


async def _admin(edge: Edge, user: User) -> Identity:
    await edge.actions.users.check_admin(user.user_id)
    return user


Admin = Annotated[Identity, Depends(_admin)]
"""A server administrator, who only looks."""


@router.get(
    "/nodes",
    operation_id="list_nodes",
    response_model=list[NodeOut],
    responses=documented(401, 403),
)
async def list_nodes(edge: Edge, _: Admin) -> list[NodeReport]:
    """The nodes that told what they do within the last 15 seconds, by name."""
    return edge.actions.nodes.all()


@router.get(
    "/channels",
    operation_id="list_server_channels",
    response_model=list[ServerChannelOut],
    responses=documented(400, 401, 403),
)
async def list_server_channels(
    edge: Edge,
    _: Admin,
    limit: Limit = 100,
    after: Annotated[Seq, Query(description="Only those whose id is above this one.")] = 0,
    contains: Annotated[
        str,
        Query(
            max_length=80,
            pattern=TOPIC_PATTERN,
            description="Only those with this in their name or topic.",
        ),
    ] = "",
) -> list[records.Channel]:
    """Public and private channels by id, one's own or not; never direct ones."""
    return await edge.actions.channels.page(limit, after, contains)


@router.put(
    "/bans/{user_id}",
    operation_id="ban_from_server",
    status_code=204,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def ban_from_server(edge: Edge, user: PacedUser, user_id: UserIdPath) -> Response:
    """Keep a user out: no login, no token, no connection. What they wrote stays. Not oneself, and
    not the last administrator.
    """
    await edge.actions.users.ban(user.user_id, user_id)
    return Response(status_code=204)


@router.delete(
    "/bans/{user_id}",
    operation_id="unban_from_server",
    status_code=204,
    responses=documented(400, 401, 403, 404, 429),
)
async def unban_from_server(edge: Edge, user: PacedUser, user_id: UserIdPath) -> Response:
    """Let a user log in again. Whoever is not banned stays as they are."""
    await edge.actions.users.unban(user.user_id, user_id)
    return Response(status_code=204)
