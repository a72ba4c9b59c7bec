"""The part of the REST API that a client needs: logging in, tickets, channels, history."""

from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from storm_gateway.client.errors import AuthenticationError, RefusedError, UnreachableError
from storm_gateway.protocol.events import MessageEvent

T = TypeVar("T")
TIMEOUT_SECONDS = 15.0
PAGE = 200
"""Messages in one page of history: the most that the server gives (contract)."""


class _Refusal(msgspec.Struct):
    code: str = "internal"
    message: str = "The server gave no reason."


class _Login(msgspec.Struct):
    access_token: str


class _Ticket(msgspec.Struct):
    token: str


class ChannelInfo(msgspec.Struct):
    """A channel that the user may see."""

    id: int
    name: str
    visibility: str = "public"
    topic: str = ""
    head: int = 0
    peer: str | None = None


class _History(msgspec.Struct):
    id: int
    channel_id: int
    user_id: str
    payload: str
    created_at: str
    seq: int
    edited_at: str | None = None
    deleted: bool = False


def split_url(url: str) -> tuple[str, str]:
    """The base of the REST API and the address of the WebSocket, from either of them.

    ``http://host``, ``https://host/``, ``ws://host``, ``wss://host/ws`` and a bare ``host:port``
    are understood; a path before ``/ws`` (behind a proxy) is kept. Raises ``ValueError``.
    """
    if "://" not in url:
        url = f"http://{url}"
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a server: say http://host:port")
    if parts.query or parts.username:
        raise ValueError("an address holds no query and no password")
    path = parts.path.rstrip("/").removesuffix("/ws")
    place = f"{parts.netloc}{path}"
    return (
        f"{'https' if secure else 'http'}://{place}",
        f"{'wss' if secure else 'ws'}://{place}/ws",
    )


class RestApi:
    """Requests to one server. Times out after 15 seconds."""

    def __init__(self, base_url: str) -> None:
        # Tokens are given by hand: with cookies in a jar it would be unclear which one was used.
        self._http = httpx2.AsyncClient(base_url=base_url, timeout=TIMEOUT_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def login(self, user_id: str, password: str) -> str:
        """An access token for name and password; the refresh token is kept for ``refresh``."""
        self._http.cookies.clear()
        body = {"user_id": user_id, "password": password}
        answer = await self._request("POST", "/auth/login", body=body)
        return self._read(answer, _Login).access_token

    async def refresh(self) -> str:
        """A new access token for the refresh token of the login."""
        return self._read(await self._request("POST", "/auth/refresh"), _Login).access_token

    async def ticket(self, token: str) -> str:
        """A ticket for one WebSocket, good for 60 seconds."""
        return self._read(await self._request("POST", "/auth/ticket", token), _Ticket).token

    async def channels(self, token: str) -> list[ChannelInfo]:
        """The channels that the user may see."""
        return self._read(await self._request("GET", "/channels", token), list[ChannelInfo])

    async def history(
        self,
        token: str,
        channel_id: int,
        limit: int = 50,
        before: int | None = None,
        after: int | None = None,
    ) -> list[MessageEvent]:
        """Messages as they are now, oldest first; ``before`` and ``after`` are seqs."""
        query = {"limit": limit, "before": before, "after": after}
        answer = await self._request(
            "GET",
            f"/channels/{channel_id}/messages",
            token,
            query={name: value for name, value in query.items() if value is not None},
        )
        return [
            MessageEvent(
                channel_id=row.channel_id,
                payload=row.payload,
                user_id=row.user_id,
                id=row.id,
                seq=row.seq,
                sent_at=row.created_at,
                edited_at=row.edited_at,
                deleted=row.deleted,
            )
            for row in reversed(self._read(answer, list[_History]))
        ]

    async def _request(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: dict[str, str] | None = None,
        query: dict[str, int] | None = None,
    ) -> bytes:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = await self._http.request(
                method, path, headers=headers, json=body, params=query
            )
        except httpx2.HTTPError as error:
            # Only the kind: the text of some of them holds the request.
            raise UnreachableError(f"No answer from the server: {type(error).__name__}") from None
        if answer.is_success:
            return answer.content
        raise refusal(answer.status_code, answer.content, answer.headers.get("retry-after"))

    def _read(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise UnreachableError(f"This does not answer like STORM: {error}") from None


def refusal(status: int, content: bytes, retry_after: str | None) -> Exception:
    """The exception for an HTTP answer that is none of 2xx."""
    try:
        told = msgspec.json.decode(content, type=_Refusal)
    except msgspec.MsgspecError:
        told = _Refusal(message=f"The server answered {status}.")
    if status in (429, 500, 502, 503, 504):
        seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
        return UnreachableError(f"{told.message} ({status})", seconds)
    kind = AuthenticationError if status == 401 else RefusedError
    return kind(told.code, told.message)
