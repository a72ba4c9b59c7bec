"""The web client: its page for the page's own addresses, its files, and nothing else.

A path of the API never gets the page, whatever ``Accept`` says: there is no catch-all here, only
routes of known names (decision 0018).
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from storm_gateway.api.web_files import PAGE, WebFile, read_client
from storm_gateway.errors import NotFoundError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""No inline script and no inline style. ``'self'`` covers the WebSocket of this host too."""
_ASSETS = "assets/"
_PAGES = ("/login", "/register", "/settings", "/admin")
_METHODS = ["GET", "HEAD"]
_FOREVER = "public, max-age=31536000, immutable"
_ASK = "no-cache"
_NOT_BUILT = (
    "The web client is not built. Run `make run`, or `npm ci && npm run build` in frontend/, and "
    "start the gateway again. The API is described at /docs."
)

Endpoint = Callable[[Request], Awaitable[Response]]


def web_router(folder: Path) -> APIRouter:
    """Routes for the client that stands in the folder now; it is read here, once."""
    files = read_client(folder)
    router = APIRouter(include_in_schema=False)

    async def page(request: Request) -> Response:
        found = files.get(PAGE)
        if found is None:
            raise NotFoundError(_NOT_BUILT)
        return _answer(request, found, _ASK, {"Content-Security-Policy": POLICY})

    async def asset(request: Request) -> Response:
        found = files.get(_ASSETS + request.path_params["name"])
        if found is None:
            raise NotFoundError("There is nothing here.")
        # The build puts a hash of the content into each name.
        return _answer(request, found, _FOREVER)

    def of(file: WebFile) -> Endpoint:
        async def one(request: Request) -> Response:
            return _answer(request, file, _ASK)

        return one

    deep = [f"{path}{rest}" for path in _PAGES for rest in ("", "/{rest:path}")]
    for path in ("/", *deep, "/c/{rest:path}"):
        router.add_api_route(path, page, methods=_METHODS)
    router.add_api_route(f"/{_ASSETS}{{name:path}}", asset, methods=_METHODS)
    for name, file in files.items():
        if "/" not in name and name != PAGE:
            router.add_api_route(f"/{name}", of(file), methods=_METHODS)
    return router


def _answer(
    request: Request, file: WebFile, cache: str, more: dict[str, str] | None = None
) -> Response:
    coding = file.chosen(request.headers.get("accept-encoding"))
    etag = file.etag(coding)
    headers = {"Cache-Control": cache, "ETag": etag, **(more or {})}
    if len(file.bodies) > 1:
        headers["Vary"] = "Accept-Encoding"
    if _has(request.headers.getlist("if-none-match"), etag):
        return Response(None, 304, headers)
    if coding != "identity":
        headers["Content-Encoding"] = coding
    headers["Content-Type"] = file.content_type
    return Response(file.bodies[coding], headers=headers)


def _has(known: list[str], etag: str) -> bool:
    """Whether the client's copy is current (RFC 9110 § 13.1.2: compared weakly)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(known).split(",")]
    return etag in tags or "*" in tags
