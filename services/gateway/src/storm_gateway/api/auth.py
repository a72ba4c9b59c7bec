"""``/auth``: coming in, staying in, going out."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response

from storm_gateway.actions.identity import Identity
from storm_gateway.api.edge import (
    REFRESH_COOKIE,
    Attempt,
    AuthUser,
    Edge,
    PacedAuthUser,
    RestEdge,
)
from storm_gateway.api.errors import documented
from storm_gateway.api.models import (
    DeletedOut,
    LoggedOutOut,
    LoginIn,
    LoginOut,
    MeIn,
    RefreshOut,
    RegisterIn,
    TicketOut,
    UserOut,
)
from storm_gateway.errors import BannedError, UnauthenticatedError
from storm_gateway.store.records import User

router = APIRouter(prefix="/auth", tags=["auth"])
RefreshToken = Annotated[str | None, Cookie(alias=REFRESH_COOKIE, include_in_schema=False)]


@router.post(
    "/register",
    operation_id="register",
    status_code=201,
    response_model=UserOut,
    responses=documented(400, 403, 409, 413, 429),
    dependencies=[Attempt],
)
async def register(edge: Edge, body: RegisterIn) -> User:
    """Make a user. An id that is or was taken is refused."""
    return await edge.actions.auth.register(body.user_id, body.password, body.display_name)


@router.post(
    "/login",
    operation_id="login",
    responses=documented(400, 401, 403, 413, 429),
    dependencies=[Attempt],
)
async def login(edge: Edge, request: Request, response: Response, body: LoginIn) -> LoginOut:
    """Trade name and password for an access token; sets both cookies."""
    edge.check_origin(request)
    made = await edge.actions.auth.login(body.user_id, body.password)
    user = await edge.actions.users.me(made.user_id)
    edge.set_cookies(response, made)
    return LoginOut(
        id=user.id,
        display_name=user.display_name,
        created_at=user.created_at,
        admin=user.admin,
        access_token=made.access_token,
        expires_in=made.expires_in,
    )


@router.post(
    "/refresh",
    operation_id="refresh",
    responses=documented(401, 403, 429),
)
async def refresh(
    edge: Edge, request: Request, response: Response, refresh_token: RefreshToken = None
) -> RefreshOut:
    """Trade the refresh cookie for new tokens. A refresh token used twice ends its login."""
    edge.check_origin(request)
    if not refresh_token:
        raise UnauthenticatedError("The refresh cookie is missing.")
    await edge.count_attempt(request)
    made = await edge.actions.auth.refresh(refresh_token)
    edge.set_cookies(response, made)
    return RefreshOut(access_token=made.access_token, expires_in=made.expires_in)


@router.post("/logout", operation_id="logout", responses=documented(403, 429))
async def logout(
    edge: Edge, request: Request, response: Response, refresh_token: RefreshToken = None
) -> LoggedOutOut:
    """End this login on every node: tokens, cookies and connections."""
    edge.check_origin(request)
    identity = None
    try:
        identity = edge.authenticate(request)
    except (UnauthenticatedError, BannedError):
        # Logging out must work with whatever is left of a login.
        if refresh_token or edge.shows_token(request):
            await edge.count_attempt(request)
    await edge.actions.auth.logout(refresh_token, identity)
    edge.clear_cookies(response)
    return LoggedOutOut()


@router.get("/me", operation_id="get_me", response_model=UserOut, responses=documented(401, 429))
async def get_me(edge: Edge, user: AuthUser) -> User:
    """Who am I?"""
    return await edge.actions.users.me(user.user_id)


@router.patch(
    "/me",
    operation_id="update_me",
    response_model=UserOut,
    responses=documented(400, 401, 403, 413, 429),
)
async def update_me(
    edge: Edge, request: Request, response: Response, user: PacedAuthUser, body: MeIn
) -> User:
    """Change one's name or password. A new password ends every login; this browser gets a new
    one in its cookies.
    """
    return await change_user(edge, request, response, user, body)


@router.delete("/me", operation_id="delete_me", responses=documented(401, 403, 429))
async def delete_me(edge: Edge, response: Response, user: PacedAuthUser) -> DeletedOut:
    """Delete oneself. Messages stay, their author is shown as deleted."""
    return await delete_user(edge, response, user)


@router.post("/ticket", operation_id="make_ticket", responses=documented(401, 403, 429))
async def make_ticket(edge: Edge, user: PacedAuthUser) -> TicketOut:
    """A token for the URL of one WebSocket, good once and for a minute."""
    token, expires_in = await edge.actions.auth.ticket(user)
    return TicketOut(token=token, expires_in=expires_in)


async def change_user(
    edge: RestEdge, request: Request, response: Response, user: Identity, body: MeIn
) -> User:
    """``PATCH`` of oneself, by either name of the route."""
    if body.password is not None:
        # As costly as a login, so counted like one.
        await edge.count_attempt(request)
    changed = await edge.actions.users.update(user.user_id, body.display_name, body.password)
    if body.password is not None:
        edge.set_cookies(response, await edge.actions.auth.new_session(user.user_id))
    return changed


async def delete_user(edge: RestEdge, response: Response, user: Identity) -> DeletedOut:
    """``DELETE`` of oneself, by either name of the route."""
    await edge.actions.users.delete(user.user_id)
    edge.clear_cookies(response)
    return DeletedOut()
