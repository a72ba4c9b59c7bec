"""The REST routes that the audit needs: channels, invitations, history pages."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from storm_gateway.store.records import HistoryMessage

_TRIES = 60
_WAIT_SECONDS = 0.5
_ANSWER_SECONDS = 5.0
_PAGE = 200
_AGAIN = frozenset({0, 429, 500, 502, 503, 504})

_page = msgspec.json.Decoder(list[HistoryMessage])


class Seen(msgspec.Struct, gc=False):
    """A message as a history page shows it."""

    channel_id: int
    seq: int
    id: int
    user_id: str
    payload: str


class Rest:
    """Asks any node, again and again: for the audit's own errands, not for what is measured.

    Raises ``OSError`` when no node gives an answer for long.
    """

    def __init__(self, urls: list[str], token: Callable[[str], str]) -> None:
        self.urls = urls
        self._token = token
        # Settings of the environment (proxies) are not for servers on this machine.
        self._http = httpx2.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def create_channel(self, user_id: str, name: str, visibility: str) -> int:
        """Make a channel; gives its id. One that was made by a try without an answer is found."""
        body = {"name": name, "visibility": visibility}
        answer = await self._ask(user_id, "POST", "/channels", body, also=(409,))
        if answer.status_code != 409:
            return int(answer.json()["id"])
        listed = await self._ask(user_id, "GET", "/channels")
        return next(int(each["id"]) for each in listed.json() if each["name"] == name)

    async def invite(self, by: str, channel: int, user_id: str) -> None:
        """Make somebody a member."""
        path, body = f"/channels/{channel}/members", {"user_id": user_id}
        answer = await self._ask(by, "POST", path, body, also=(404,))
        if answer.status_code == 404:
            # A token's user comes to be with their first command; the one that greeted them may
            # have met a store that was too slow.
            await self._ask(user_id, "GET", "/channels")
            await self._ask(by, "POST", path, body)

    async def page(
        self, user_id: str, channel: int, after: int, at: int = 0, *, tries: int = _TRIES
    ) -> list[Seen]:
        """The next messages after a seq, oldest first; at most 200."""
        path = f"/channels/{channel}/messages?limit={_PAGE}&after={after}"
        answer = await self._ask(user_id, "GET", path, at=at, tries=tries)
        found = [
            Seen(each.channel_id, each.seq, each.id, each.user_id, each.payload)
            for each in _page.decode(answer.content)
        ]
        found.reverse()
        return found

    async def _ask(
        self,
        user_id: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        at: int = 0,
        also: tuple[int, ...] = (),
        tries: int = _TRIES,
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self._token(user_id)}"}
        said = "no node answers"
        for number in range(tries):
            url = self.urls[(at + number) % len(self.urls)]
            with contextlib.suppress(httpx2.HTTPError):
                answer = await self._http.request(method, url + path, json=body, headers=headers)
                if answer.is_success or answer.status_code in also:
                    return answer
                said = f"{answer.status_code} {answer.text[:200]}"
                if answer.status_code not in _AGAIN:
                    break
            await asyncio.sleep(_WAIT_SECONDS)
        raise OSError(f"{method} {path}: {said}")
