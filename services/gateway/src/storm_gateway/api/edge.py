"""What the routes share, and who is asking."""

import math
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.responses import Response

from storm_gateway.actions.actions import Actions
from storm_gateway.actions.address import client_address, limit_key, parse_networks
from storm_gateway.actions.auth import Login
from storm_gateway.actions.identity import Identity
from storm_gateway.api.health import Health
from storm_gateway.config import Config
from storm_gateway.errors import ForbiddenError, RateLimitedError, UnauthenticatedError
from storm_gateway.limits.base import Limits
from storm_gateway.limits.buckets import Buckets
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.base import PresenceSnapshot

ACCESS_COOKIE = "access_token"
REFRESH_COOKIE = "refresh_token"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An access token.")
_cookie = APIKeyCookie(
    name=ACCESS_COOKIE,
    auto_error=False,
    scheme_name="cookie",
    description="The cookie that a login sets. Changes need an allowed Origin.",
)


class RestEdge:
    """One for each API; kept in ``app.state.edge``."""

    def __init__(
        self,
        actions: Actions,
        config: Config,
        metrics: Metrics,
        health: Health,
        presence: Callable[[int], Awaitable[PresenceSnapshot]],
        limits: Limits,
    ) -> None:
        self.actions = actions
        self.config = config
        self.metrics = metrics
        self.health = health
        self.presence = presence
        self.trusted = parse_networks(config.trusted_proxies)
        self._limits = limits
        self._commands = Buckets(config.commands_per_second, config.commands_burst)

    def address_of(self, request: Request) -> str:
        """Where the request came from, seen through trusted proxies."""
        peer = request.client.host if request.client else ""
        return client_address(peer, request.headers.getlist("x-forwarded-for"), self.trusted)

    async def count_attempt(self, request: Request) -> None:
        """One request of this address to ``/auth`` of any node. Raises when there were too many."""
        if not self.config.auth_rate_limit_enabled:
            return
        wait = await self._limits.take(
            f"auth:{limit_key(self.address_of(request))}",
            self.config.auth_requests_per_minute / 60,
            self.config.auth_burst,
        )
        if wait:
            self.metrics.auth_rate_limited.inc()
            raise _too_often(wait)

    def count_command(self, user_id: str) -> None:
        """One change by this user: the pace that a connection has, too."""
        wait = self._commands.take(user_id)
        if wait:
            self.metrics.commands_rate_limited.inc()
            raise _too_often(wait)

    def check_origin(self, request: Request) -> None:
        """Refuse a change that a page of another site asks for with the browser's cookies."""
        origin = request.headers.get("origin")
        if request.method in _SAFE_METHODS or origin is None:
            return
        origin = origin.lower()
        if origin in self.config.origins:
            return
        # Whichever scheme: behind a proxy this node does not know which one the browser used.
        parts = urlsplit(origin)
        if (
            parts.scheme in ("http", "https")
            and parts.netloc == request.headers.get("host", "").lower()
        ):
            return
        raise ForbiddenError("This Origin may not do this.")

    @staticmethod
    def shows_token(request: Request) -> bool:
        """Whether the request has a token at all, good or bad."""
        return "authorization" in request.headers or bool(request.cookies.get(ACCESS_COOKIE))

    def authenticate(self, request: Request) -> Identity:
        """The holder of the token of a request (contract: header, then cookie, never the URL)."""
        authorization = request.headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise UnauthenticatedError(
                    "The header Authorization must say: Bearer <access token>."
                )
            return self.actions.auth.authenticate(token.strip())
        cookie = request.cookies.get(ACCESS_COOKIE)
        if not cookie:
            raise UnauthenticatedError("Send an access token: Authorization: Bearer, or cookie.")
        self.check_origin(request)
        return self.actions.auth.authenticate(cookie)

    def set_cookies(self, response: Response, login: Login) -> None:
        """Keep a login in the browser, out of reach of its scripts."""
        for name, value, seconds in (
            (ACCESS_COOKIE, login.access_token, login.expires_in),
            (REFRESH_COOKIE, login.refresh_token, login.refresh_expires_in),
        ):
            response.set_cookie(
                name,
                value,
                max_age=seconds,
                path="/",
                secure=self.config.cookie_secure,
                httponly=True,
                samesite="lax",
            )

    def clear_cookies(self, response: Response) -> None:
        for name in (ACCESS_COOKIE, REFRESH_COOKIE):
            response.delete_cookie(
                name, path="/", secure=self.config.cookie_secure, httponly=True, samesite="lax"
            )


def _too_often(wait_seconds: float) -> RateLimitedError:
    return RateLimitedError(
        "Too many requests; wait a moment.", retry_after_ms=math.ceil(wait_seconds * 1000)
    )


def _edge(request: Request) -> RestEdge:
    edge = request.app.state.edge
    assert isinstance(edge, RestEdge)  # noqa: S101 make_api put it there
    return edge


Edge = Annotated[RestEdge, Depends(_edge)]


async def _user(
    request: Request,
    edge: Edge,
    _header: Annotated[object, Security(_bearer)],
    _jar: Annotated[object, Security(_cookie)],
) -> Identity:
    identity = edge.authenticate(request)
    await edge.actions.auth.ensure_user(identity)
    return identity


async def _auth_user(
    request: Request,
    edge: Edge,
    _header: Annotated[object, Security(_bearer)],
    _jar: Annotated[object, Security(_cookie)],
) -> Identity:
    try:
        return await _user(request, edge, _header, _jar)
    except UnauthenticatedError:
        # Guessing tokens counts as guessing passwords does; a known user counts for itself, or
        # an office behind one address could not come back after a restart. Whoever shows nothing
        # guesses nothing: so a page asks whether there is a login.
        if edge.shows_token(request):
            await edge.count_attempt(request)
        raise


User = Annotated[Identity, Depends(_user)]
"""Whoever has a good token."""
AuthUser = Annotated[Identity, Depends(_auth_user)]
"""The same, on ``/auth``: a bad token counts against its address."""


def _paced(edge: Edge, user: User) -> Identity:
    edge.count_command(user.user_id)
    return user


def _auth_paced(edge: Edge, user: AuthUser) -> Identity:
    edge.count_command(user.user_id)
    return user


PacedUser = Annotated[Identity, Depends(_paced)]
"""Whoever has a good token and is not too fast: for changes."""
PacedAuthUser = Annotated[Identity, Depends(_auth_paced)]


async def _attempt(request: Request, edge: Edge) -> None:
    await edge.count_attempt(request)


Attempt = Depends(_attempt)
"""For routes that try a secret or make a user: counted by address."""
