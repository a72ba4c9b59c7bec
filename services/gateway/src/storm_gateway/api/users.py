"""``/users``: people, and oneself by name."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from storm_gateway.actions.names import TOPIC_PATTERN
from storm_gateway.api.auth import change_user, delete_user
from storm_gateway.api.edge import Edge, PacedUser, User
from storm_gateway.api.errors import documented
from storm_gateway.api.models import (
    AfterId,
    DeletedOut,
    Limit,
    RegisterIn,
    SeenUserOut,
    UserIdPath,
    UserIn,
    UserOut,
)
from storm_gateway.errors import ForbiddenError
from storm_gateway.store import records

router = APIRouter(prefix="/users", tags=["users"])
_NOT_YOURS = "Only the user may change this user."


@router.get(
    "",
    operation_id="list_users",
    response_model=list[SeenUserOut],
    response_model_exclude_none=True,
    responses=documented(400, 401),
)
async def list_users(
    edge: Edge,
    user: User,
    limit: Limit = 100,
    after: AfterId = "",
    contains: Annotated[
        str,
        Query(
            max_length=64,
            pattern=TOPIC_PATTERN,
            description="Only those with this in their id or name.",
        ),
    ] = "",
) -> list[records.User]:
    """Users in the order of their ids."""
    found = await edge.actions.users.page(limit, after, contains)
    return await edge.actions.users.as_seen_by(user.user_id, found)


@router.post(
    "",
    operation_id="create_user",
    status_code=201,
    response_model=UserOut,
    responses=documented(400, 401, 403, 409, 413, 429),
)
async def create_user(
    edge: Edge, request: Request, user: PacedUser, body: RegisterIn
) -> records.User:
    """Make a user, as by registering; an administrator may do it while registration is closed."""
    if not await edge.actions.users.is_admin(user.user_id):
        await edge.count_attempt(request)
    return await edge.actions.users.create(
        user.user_id, body.user_id, body.password, body.display_name
    )


@router.get(
    "/{user_id}",
    operation_id="get_user",
    response_model=SeenUserOut,
    response_model_exclude_none=True,
    responses=documented(400, 401, 404),
)
async def get_user(edge: Edge, user: User, user_id: UserIdPath) -> records.User:
    """One user."""
    found = await edge.actions.users.get(user_id)
    return (await edge.actions.users.as_seen_by(user.user_id, [found]))[0]


@router.patch(
    "/{user_id}",
    operation_id="update_user",
    response_model=UserOut,
    responses=documented(400, 401, 403, 404, 409, 413, 429),
)
async def update_user(
    edge: Edge,
    request: Request,
    response: Response,
    user: PacedUser,
    user_id: UserIdPath,
    body: UserIn,
) -> records.User:
    """Change oneself as by `/auth/me`. `admin` may be said by server administrators, of anybody."""
    about_self = body.display_name is not None or body.password is not None
    if user_id != user.user_id:
        await edge.actions.users.get(user_id)
        if about_self or body.admin is None:
            raise ForbiddenError(_NOT_YOURS)
    if body.admin is not None:
        changed = await edge.actions.users.set_admin(user.user_id, user_id, body.admin)
        if not about_self:
            return changed
    return await change_user(edge, request, response, user, body)


@router.delete(
    "/{user_id}",
    operation_id="delete_user",
    responses=documented(400, 401, 403, 404, 429),
)
async def delete_user_by_id(
    edge: Edge, response: Response, user: PacedUser, user_id: UserIdPath
) -> DeletedOut:
    """Delete oneself as by `/auth/me`."""
    if user_id != user.user_id:
        await edge.actions.users.get(user_id)
        raise ForbiddenError(_NOT_YOURS)
    return await delete_user(edge, response, user)
