"""One connection to one NATS server, from connect to loss. It never connects again by itself.

Why not nats-py's own reconnect: it waits for a frozen server to take what was written before it
gives a connection up, ends for good at most errors that a server tells, and sends what was
published hours ago. A new client for each connection has none of that; :class:`NatsBus` makes it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from nats import errors as nats_errors

from storm_gateway.bus.direct import DirectClient, OnData

CONNECT_SECONDS = 2
_CLOSE_SECONDS = 2
_PENDING_BYTES = 8 * 1024 * 1024
"""Bytes that may wait for the socket before a publish waits for it, and for how long."""
_FLUSH_SECONDS = 2
_SCHEMES = ("nats", "tls")


class LinkError(Exception):
    """The connection cannot be made or is gone. A sentence without secrets."""


class Address:
    """One server of ``STORM_NATS_URL``; user and password are kept apart from what is shown."""

    def __init__(self, url: str) -> None:
        """Raises ``ValueError`` with a sentence that does not repeat the URL."""
        try:
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            host, port = parts.hostname, parts.port or 4222
        except ValueError:
            host = None
        if not host or parts.scheme not in _SCHEMES:
            raise ValueError("STORM_NATS_URL cannot be read: say nats://host:4222")
        shown = f"[{host}]" if ":" in host else host
        self.name = f"{shown}:{port}"
        self.url = f"{parts.scheme}://{self.name}"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        self.options: dict[str, Any] = {}
        if user and password:
            self.options = {"user": user, "password": password}
        elif user:
            self.options = {"token": user}


def addresses_of(urls: str) -> list[Address]:
    """The servers of a comma-separated list."""
    return [Address(url.strip()) for url in urls.split(",") if url.strip()]


class Link:
    """``lost`` is set when the connection is gone; ``on_error`` is told the kind of each fault."""

    def __init__(self, address: Address, on_error: Callable[[str], None]) -> None:
        self.address = address
        self.lost = asyncio.Event()
        self._on_error = on_error
        self._client = DirectClient()

    @property
    def alive(self) -> bool:
        """Whether nothing speaks against it yet."""
        return self._client.is_connected and not self.lost.is_set()

    @property
    def max_payload(self) -> int:
        """Bytes that the server takes in one message."""
        return self._client.max_payload

    async def open(self, name: str) -> None:
        """Connect. Raises :class:`LinkError`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS + 1):
                await self._client.connect(
                    [self.address.url],
                    name=name,
                    error_cb=self._on_fault,
                    closed_cb=self._on_closed,
                    allow_reconnect=False,
                    # 0 would mean: for ever.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_SECONDS,
                    pending_size=_PENDING_BYTES,
                    flush_timeout=_FLUSH_SECONDS,
                    **self.address.options,
                )
        except (TimeoutError, OSError, nats_errors.Error) as error:
            self._abort()
            refused = "authorization" in str(error).lower()
            why = "refuses user and password" if refused else "does not answer"
            raise LinkError(f"NATS at {self.address.name} {why}") from None
        except BaseException:
            self._abort()
            raise

    async def subscribe(self, subject: str, on_data: OnData) -> int:
        """Ask for the messages of a subject; a round trip later the server has it. Returns what
        :meth:`unsubscribe` wants.
        """
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                return await self._client.listen(subject, on_data)
        except (TimeoutError, OSError, nats_errors.Error):
            raise LinkError("the connection is gone") from None

    async def unsubscribe(self, subscription: int) -> None:
        """Ask for them no more. Never raises."""
        with contextlib.suppress(TimeoutError, OSError, nats_errors.Error):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._client.leave(subscription)

    async def publish(self, subject: str, payload: bytes) -> bool:
        """Hand one message to the socket; False when it is lost."""
        try:
            await self._client.publish(subject, payload)
        except nats_errors.MaxPayloadError:
            self._on_error("too_large")
            return False
        except (OSError, nats_errors.Error):
            return False
        return True

    async def close(self, *, gracefully: bool = False) -> None:
        """End it within a bounded time, whatever state it is in."""
        self.lost.set()
        if not gracefully:
            self._abort()
        with contextlib.suppress(TimeoutError, OSError, RuntimeError, nats_errors.Error):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()
        self._abort()
        self._client.forget()

    def why(self) -> str:
        """What the server said last, as a kind of error."""
        said = str(self._client.last_error or "").lower()
        return "slow_consumer" if "slow consumer" in said else "disconnected"

    def _abort(self) -> None:
        # nats-py closes a transport politely: it waits until the peer has taken everything, and
        # a frozen peer never does.
        transport = getattr(self._client, "_transport", None)  # there is no public way
        writer = getattr(transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _on_closed(self) -> None:
        self.lost.set()

    async def _on_fault(self, error: Exception) -> None:
        if isinstance(error, nats_errors.FlushTimeoutError):
            self._on_error("slow_server")
        elif isinstance(error, (nats_errors.UnexpectedEOF, OSError)):
            self.lost.set()
        elif "permissions" in str(error).lower():
            self._on_error("permission")
        else:
            self._on_error("error")
