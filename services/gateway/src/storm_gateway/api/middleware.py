"""What holds for every answer: headers, CORS, bounds of the request, and no fault unseen.

Plain ASGI classes: Starlette's ``BaseHTTPMiddleware`` costs a task and a queue a request.
"""

import asyncio
import contextlib
import logging
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storm_gateway.actions.address import Networks, is_trusted
from storm_gateway.api.errors import error_response, internal_error
from storm_gateway.errors import ForbiddenError, InvalidRequestError, PayloadTooLargeError

log = logging.getLogger("storm.api")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000; includeSubDomains"
_READ_ON = 16
"""A body is read on to this many times the bound, and dropped, before it is refused."""
_SILENCE_SECONDS = 1.0
"""Whoever sends nothing for so long is refused without the rest."""
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z")


class SecurityHeaders:
    """Puts the headers of the contract on every answer; a route's own value stays."""

    def __init__(self, app: ASGIApp, *, https: bool, trusted: Networks) -> None:
        self._app = app
        self._https = https
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        https = self._https or scope["scheme"] == "https" or self._forwarded_https(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if https:
                    headers.setdefault("Strict-Transport-Security", HSTS)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _forwarded_https(self, scope: Scope) -> bool:
        peer = scope.get("client")
        if not self._trusted or peer is None or not is_trusted(peer[0], self._trusted):
            return False
        said = Headers(scope=scope).getlist("x-forwarded-proto")
        return bool(said) and said[-1].rpartition(",")[2].strip().lower() == "https"


class Cors(CORSMiddleware):
    """Starlette's CORS; a refused preflight is JSON like every other refusal."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        refusal = error_response(ForbiddenError("This Origin may not do this."))
        refusal.headers["Vary"] = response.headers["Vary"]
        return refusal


class Faults:
    """An exception that nothing handles is logged and told as ``internal``, without its text.

    Inside CORS and the security headers, so that browsers may read it too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("request failed: %s %s", scope.get("method"), scope.get("path"))
            if started or scope["type"] != "http":
                raise
            await internal_error()(scope, receive, send)


class Bounds:
    """Refuses a malformed Host, a body that is too large and one that comes too slowly.

    The body is counted as it comes: what ``Content-Length`` says is only believed when it is bad.

    A refused body is read to its end first, within bounds. An answer before it makes a sender that
    still writes lose the answer to a reset (RFC 9112 § 9.6), and proxies that were seen to take
    the rest of the body for the next request's head.
    """

    def __init__(self, app: ASGIApp, *, body_bytes: int, body_seconds: float) -> None:
        self._app = app
        self._bytes = body_bytes
        self._seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) > 1 or (hosts and not _HOST.match(hosts[0])):
            refusal = InvalidRequestError("The header Host is malformed.")
            await error_response(refusal)(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if length.isdigit() and (len(length) > 18 or int(length) > self._bytes):
            # Who asks first whether to send (RFC 9110 § 10.1.1) is not to be told to go on.
            if (
                "expect" not in headers
                and len(length) <= 18
                and int(length) <= _READ_ON * self._bytes
            ):
                await self._read_on(receive, int(length), self._seconds)
            too_large = error_response(
                PayloadTooLargeError(self._too_large), {"Connection": "close"}
            )
            await too_large(scope, receive, send)
            return

        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        received = 0
        whole = False

        async def receive_bounded() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    400, f"The body did not come within {self._seconds:g} seconds."
                ) from None
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if received > self._bytes:
                    if not whole:
                        left = _READ_ON * self._bytes - received
                        await self._read_on(receive, left, deadline - loop.time())
                    raise HTTPException(413, self._too_large)
            return message

        await self._app(scope, receive_bounded, send)

    async def _read_on(self, receive: Receive, left: int, seconds: float) -> None:
        """Drop the rest of a body, ``left`` bytes at most, if it comes soon."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        with contextlib.suppress(TimeoutError):
            while left > 0:
                async with asyncio.timeout_at(min(deadline, loop.time() + _SILENCE_SECONDS)):
                    message = await receive()
                if not message.get("more_body", False):
                    return
                left -= len(message["body"])

    @property
    def _too_large(self) -> str:
        return f"A request body has at most {self._bytes} bytes."
