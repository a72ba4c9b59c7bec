"""The opening handshake (RFC 6455 § 4.2) without I/O: a request in, a decision out."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha1
from http import HTTPStatus
from urllib.parse import parse_qs

import msgspec

SUBPROTOCOL = "storm.v1"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
MAX_HEADERS = 128
_MOST_PARAMETERS = 32
_ESCAPES = frozenset("%+")

SECURITY_HEADERS = (
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    "Cache-Control: no-store\r\n"
)


class RefusedHandshake(Exception):  # noqa: N818 reads as what happened
    """The upgrade is refused; the TCP connection gets this HTTP answer and ends."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: str = "",
        retry_after: int = 0,
        reason: str = "",
    ) -> None:
        """``reason``: what is counted, where it is more than the code."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.retry_after = retry_after
        self.reason = reason or code

    def response(self) -> bytes:
        """The whole HTTP answer, JSON like all errors of the API."""
        fields: dict[str, object] = {"code": self.code, "message": self.message}
        extra = self.headers
        if self.retry_after:
            fields["retry_after_ms"] = self.retry_after * 1000
            extra += f"Retry-After: {self.retry_after}\r\n"
        body = msgspec.json.encode(fields)
        return (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n{SECURITY_HEADERS}{extra}\r\n"
        ).encode() + body


class Request(msgspec.Struct, gc=False):
    """A request head. Header names are lower case; repeated headers are joined with ``, ``."""

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str]
    _parameters: dict[str, list[str]] | None = None

    def values(self, name: str) -> list[str]:
        """The comma-separated values of a header, trimmed."""
        return [part.strip() for part in self.headers.get(name, "").split(",") if part.strip()]

    def parameter(self, name: str) -> str | None:
        """One query parameter; refused when given twice, because readers differ on which counts."""
        if self._parameters is None:
            self._parameters = _parse_query(self.query)
        found = self._parameters.get(name)
        if found is None:
            return None
        if len(found) > 1:
            raise _bad(f"The query parameter {name!r} may be given once.")
        return found[0]

    def cookie(self, name: str) -> str | None:
        """One cookie of the request."""
        for part in self.headers.get("cookie", "").replace(",", ";").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value.strip('"')
        return None


def _parse_query(query: str) -> dict[str, list[str]]:
    if query.count("&") < _MOST_PARAMETERS and not _ESCAPES.intersection(query):
        # What clients of ours send (a number, a token): nothing to decode.
        found: dict[str, list[str]] = {}
        for part in query.split("&"):
            name, _, value = part.partition("=")
            found.setdefault(name, []).append(value)
        return found
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise _bad("The query has too many parameters.") from None


def _bad(message: str) -> RefusedHandshake:
    return RefusedHandshake(400, "invalid_request", message)


def wants_upgrade(head: bytes) -> bool:
    """Whether a request head, or its beginning, asks for a WebSocket. Cheap: no parsing."""
    lower = head.lower()
    at = lower.find(b"\r\nupgrade:")
    return at >= 0 and b"websocket" in lower[at : lower.find(b"\r\n", at + 2)]


def parse_request(head: bytes) -> Request:
    """Read a request head up to and with its empty line. Strict: what is odd is refused."""
    try:
        lines = head[: head.index(b"\r\n\r\n")].decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
    except ValueError:
        raise _bad("The request line is malformed, or the head has no end.") from None
    if not target.startswith("/") or "#" in target:
        raise _bad("The request target must be a path.")
    headers: dict[str, str] = {}
    rows = lines[1:]
    if len(rows) > MAX_HEADERS:
        raise RefusedHandshake(431, "invalid_request", "Too many headers.")
    for row in rows:
        name, colon, value = row.partition(":")
        key = name.lower()
        if not colon or not key or not _TOKEN.issuperset(key.encode("latin-1")):
            raise _bad("A header is malformed.")
        value = value.strip(" \t")
        if "\x00" in value or "\n" in value or "\r" in value:
            raise _bad("A header is malformed.")
        if key in headers:
            if key in ("host", "origin", "authorization", "sec-websocket-key"):
                raise _bad(f"The header {key} may be sent once.")
            value = headers[key] + (";" if key == "cookie" else ", ") + value
        headers[key] = value
    path, _, query = target.partition("?")
    return Request(method, path, query, version, headers)


def check_upgrade(request: Request) -> str:
    """The key of a proper upgrade request; anything else is a :class:`RefusedHandshake`."""
    if request.method != "GET":
        raise RefusedHandshake(
            405, "method_not_allowed", "A WebSocket is opened with GET.", headers="Allow: GET\r\n"
        )
    if request.version != "HTTP/1.1":
        raise _bad("A WebSocket needs HTTP/1.1.")
    if not request.headers.get("host"):
        raise _bad("The header Host is missing.")
    if "content-length" in request.headers or "transfer-encoding" in request.headers:
        raise _bad("An upgrade request has no body.")
    if "upgrade" not in [value.lower() for value in request.values("connection")]:
        raise _bad("The header Connection must contain Upgrade.")
    if "websocket" not in [value.lower() for value in request.values("upgrade")]:
        raise RefusedHandshake(
            426, "upgrade_required", "Connect with a WebSocket.", headers="Upgrade: websocket\r\n"
        )
    if request.headers.get("sec-websocket-version") != "13":
        raise RefusedHandshake(
            426,
            "upgrade_required",
            "Only WebSocket version 13 is spoken here.",
            headers="Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        )
    key = request.headers.get("sec-websocket-key", "")
    try:
        valid = len(b64decode(key, validate=True)) == 16
    except (Base64Error, ValueError):
        valid = False
    if not valid:
        raise _bad("The header Sec-WebSocket-Key must be 16 bytes in base64.")
    return key


def check_origin(request: Request, allowed: frozenset[str], *, by_cookie: bool) -> None:
    """Refuse pages of other sites (CWE-1385).

    Allowed are the configured Origins and the gateway's own. A handshake without Origin does not
    come from a page; it may not rely on a cookie.
    """
    origin = request.headers.get("origin")
    if origin is None:
        if by_cookie:
            raise RefusedHandshake(
                403, "forbidden", "A handshake with a cookie needs an allowed Origin."
            )
        return
    origin = origin.lower()
    own = request.headers.get("host", "").lower()
    if origin in allowed or origin in (f"http://{own}", f"https://{own}"):
        return
    raise RefusedHandshake(403, "forbidden", "This Origin may not connect.")


def accept_response(key: str, *, subprotocol: bool) -> bytes:
    """The 101 answer (§ 4.2.2). Extensions are never negotiated."""
    token = b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    chosen = b"Sec-WebSocket-Protocol: " + SUBPROTOCOL.encode() + b"\r\n" if subprotocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + token + b"\r\n" + chosen + b"\r\n"
    )
