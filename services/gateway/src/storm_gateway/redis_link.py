"""The way to Valkey or Redis: Lua scripts, batched, each batch with a deadline.

Below presence and limits, which both need it. One server, or one behind a proxy or sentinel of its
operator; a cluster with hash slots is not supported: a script touches the keys of many channels.
"""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    ResponseError,
    ValkeyError,
)

_CONNECT_SECONDS = 1.0
_CONNECTIONS = 4
log = logging.getLogger("storm.redis")

_BROKEN = (ValkeyError, OSError, EOFError, TimeoutError, RuntimeError)
"""What a lost server raises. uvloop says ``RuntimeError`` for a write to a closed transport."""


class LinkError(Exception):
    """The server does not answer, or not as it should. A sentence without secrets."""


class Script:
    """A Lua script. Works with Redis 6.2 and newer and every Valkey."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Connections to one server, made when they are needed. Never retries by itself."""

    def __init__(self, url: str, *, connections: int = _CONNECTIONS) -> None:
        """Raises ``ValueError`` with a sentence that does not repeat the URL."""
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=_CONNECT_SECONDS,
                socket_connect_timeout=_CONNECT_SECONDS,
                # The deadline of each batch holds. With one of the client's own, a write that is
                # cancelled in the wrong moment goes on (asyncio.wait_for before Python 3.12).
                socket_timeout=None,
                socket_keepalive=True,
            )
        except ValueError:
            raise ValueError(
                "STORM_REDIS_URL cannot be read: say redis://:password@host:6379/0"
            ) from None
        self._client = Valkey(connection_pool=self._pool)

    async def run(self, calls: Sequence[tuple[Script, Sequence[Any]]], seconds: float) -> list[Any]:
        """Run scripts in one round trip, in order; the reply of each. Arguments are ``ARGV``.

        Raises :class:`LinkError` when any of them fails or the whole takes longer than
        ``seconds``: then each of them may have run or not, or may still run later.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._run(calls)
        except _BROKEN as error:
            raise LinkError(_reason(error)) from None

    async def ping(self, seconds: float) -> None:
        """Raises :class:`LinkError`."""
        try:
            async with asyncio.timeout(seconds):
                await self._client.ping()
        except _BROKEN as error:
            raise LinkError(_reason(error)) from None

    async def close(self) -> None:
        await self._client.aclose()
        await self._pool.disconnect()

    async def _run(self, calls: Sequence[tuple[Script, Sequence[Any]]]) -> list[Any]:
        replies = await self._evaluate(calls)
        missing = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            # Those did not run. The others did; their order among each other is kept.
            for text in {calls[n][0].text for n in missing}:
                await self._client.script_load(text)
            for n, reply in zip(
                missing, await self._evaluate([calls[n] for n in missing]), strict=True
            ):
                replies[n] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _evaluate(self, calls: Sequence[tuple[Script, Sequence[Any]]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for script, arguments in calls:
            pipeline.execute_command("EVALSHA", script.digest, 0, *arguments)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies


def _reason(error: BaseException) -> str:
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        return "refuses the user or password of STORM_REDIS_URL"
    if isinstance(error, ResponseError):
        log.debug("a script was refused: %s", error)
        return "refuses a command: it must be Valkey, or Redis 6.2 or newer, with memory to spare"
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    return "cannot be reached"
