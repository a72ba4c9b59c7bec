"""The REST API, put together."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette.types import Message, Scope

from storm_gateway.actions.actions import Actions
from storm_gateway.api import (
    auth,
    channels,
    docs,
    members,
    messages,
    operations,
    server,
    streams,
    users,
)
from storm_gateway.api.edge import RestEdge
from storm_gateway.api.errors import add_handlers
from storm_gateway.api.health import Health
from storm_gateway.api.middleware import Bounds, Cors, Faults, SecurityHeaders
from storm_gateway.api.web import web_router
from storm_gateway.api.web_files import BUILT
from storm_gateway.config import Config
from storm_gateway.limits.base import Limits
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.base import PresenceSnapshot
from storm_gateway.version import VERSION

DESCRIPTION = (
    "Self-hosted real-time messaging. What happens comes over the WebSocket at `/ws`; this is "
    "the rest: logins, channels, members, history. Every refusal is JSON with a `code` and a "
    "`message`; times are RFC 3339 in UTC; ids of channels and messages are positive integers."
)


def make_api(
    actions: Actions,
    config: Config,
    metrics: Metrics,
    health: Health,
    presence: Callable[[int], Awaitable[PresenceSnapshot]],
    limits: Limits,
) -> FastAPI:
    """The ASGI application of the REST edge. ``presence`` tells who is online in a channel.

    Raises ``ValueError`` when the trusted proxies of the configuration are no addresses.
    """
    edge = RestEdge(actions, config, metrics, health, presence, limits)
    app = FastAPI(
        title="STORM",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(SecurityHeaders, https=config.cookie_secure, trusted=edge.trusted),
            Middleware(
                Cors,
                allow_origins=config.origins,
                allow_credentials=True,
                allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
                allow_headers=("Authorization", "Content-Type"),
                expose_headers=("Retry-After",),
            ),
            Middleware(Faults),
            Middleware(Bounds, body_bytes=config.body_bytes, body_seconds=config.body_seconds),
        ],
    )
    app.state.edge = edge
    add_handlers(app)
    parts = (operations, auth, users, channels, members, messages, streams, server, docs)
    web = web_router(Path(config.web_dir) if config.web_dir else BUILT)
    routers = [*(part.router for part in parts), web]
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


async def warm(app: FastAPI) -> None:
    """Ask for what is not there. FastAPI puts all routes together when the first request comes,
    and a node that serves would stand still for 40 ms or more.
    """

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    path = "/nothing-is-here"
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": None,
        "server": None,
        "state": {},
    }
    await app(scope, receive, send)


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[
            {"name": "auth", "description": "Coming in, staying in, going out."},
            {"name": "users", "description": "People."},
            {"name": "channels", "description": "Conversations."},
            {"name": "members", "description": "Who belongs to a channel."},
            {"name": "messages", "description": "What was said."},
            {"name": "streams", "description": "Events of services, not stored."},
            {"name": "server", "description": "All of it, for server administrators."},
            {"name": "operations", "description": "Health and metrics."},
        ],
    )
    # FastAPI documents 422 for whatever has parameters; here such a fault is a 400.
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document
