"""Where a client's access token comes from."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from storm_gateway.client.errors import ClientError, RefusedError
from storm_gateway.client.http import RestApi

TokenProvider = Callable[[], Awaitable[str]]
"""Gives a token that is good now; asked again when it is about to expire or was refused."""


class Credentials(Protocol):
    """What the client asks of them."""

    async def token(self) -> str:
        """A token, the one in use if there is one."""

    async def renew(self) -> str | None:
        """Another token after the one in use; None: there is no other."""

    async def for_websocket(self) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and query parameters that open a WebSocket."""


class GivenToken:
    """One token, from elsewhere. When it ends, so does the client."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token

    async def renew(self) -> str | None:
        return None

    async def for_websocket(self) -> tuple[dict[str, str], dict[str, str]]:
        return _bearer(self._token), {}


class ProvidedToken:
    """Tokens from a function of the program."""

    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider
        self._token: str | None = None

    async def token(self) -> str:
        if self._token is None:
            self._token = await self._provider()
        return self._token

    async def renew(self) -> str | None:
        self._token = await self._provider()
        return self._token

    async def for_websocket(self) -> tuple[dict[str, str], dict[str, str]]:
        return _bearer(await self.token()), {}


class Login:
    """Name and password: logs in, refreshes, logs in again when refreshing is refused."""

    def __init__(self, api: RestApi, user_id: str, password: str) -> None:
        self._api = api
        self._user_id = user_id
        self._password = password
        self._token: str | None = None

    async def token(self) -> str:
        if self._token is None:
            self._token = await self._api.login(self._user_id, self._password)
        return self._token

    async def renew(self) -> str | None:
        if self._token is not None:
            self._token = None
            with suppress(RefusedError):
                self._token = await self._api.refresh()
        return await self.token()

    async def for_websocket(self) -> tuple[dict[str, str], dict[str, str]]:
        token = await self.token()
        try:
            return {}, {"token": await self._api.ticket(token)}
        except ClientError:
            # Tickets are limited like logins. The header is as good; and if it is the token that
            # was refused, the handshake says so and the token is renewed.
            return _bearer(token), {}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
