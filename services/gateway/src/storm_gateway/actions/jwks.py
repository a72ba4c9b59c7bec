"""The public keys of an identity provider (RFC 7517), fetched without holding anything up."""

import asyncio
import json
from collections.abc import Callable
from time import monotonic
from typing import Any

import httpx2
import jwt
import structlog

from storm_gateway.errors import UnauthenticatedError, UnavailableError

TIMEOUT_SECONDS = 5
DOCUMENT_BYTES = 256 * 1024
KEYS = 100
REFRESH_SECONDS = 600
"""How old the keys may grow before they are fetched again, so that withdrawn ones go."""
PAUSE_SECONDS = 60
"""The shortest time between two fetches: unknown key ids must not become a flood there."""
KEY_TYPES = {"RS256": "RSA", "EdDSA": "OKP"}

log = structlog.get_logger(__name__)


class Jwks:
    """Keys by their id, for one algorithm.

    ``key`` never waits: an unknown id starts a fetch and is ``UnavailableError`` meanwhile, which
    the client retries. When the provider is away the known keys stay good.
    """

    def __init__(
        self,
        url: str,
        algorithm: str,
        *,
        clock: Callable[[], float] = monotonic,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._algorithm = algorithm
        self._clock = clock
        self._transport = transport
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fetch once; a provider that is away now is asked again when a token comes."""
        self._refresh()
        await self.settled()

    async def stop(self) -> None:
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    async def settled(self) -> None:
        """Wait for the fetch under way, if any."""
        if self._fetch is not None:
            await asyncio.wait([self._fetch])

    def key(self, key_id: object) -> jwt.PyJWK:
        """The key with this id."""
        if not isinstance(key_id, str):
            raise UnauthenticatedError("This token names no key ('kid').")
        age = self._clock() - self._fetched_at
        found = self._keys.get(key_id)
        if age >= (REFRESH_SECONDS if found else PAUSE_SECONDS):
            self._refresh()
        if found is not None:
            return found
        if self._fetch is not None:
            raise UnavailableError("The keys are being fetched.", retry_after_ms=1_000)
        raise UnauthenticatedError("This token is signed with an unknown key.")

    def _refresh(self) -> None:
        if self._fetch is None:
            self._fetched_at = self._clock()
            self._fetch = asyncio.get_running_loop().create_task(self._load())
            self._fetch.add_done_callback(self._loaded)

    def _loaded(self, task: asyncio.Task[None]) -> None:
        self._fetch = None

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self._keys = self._read(await self._get())
        except (httpx2.HTTPError, OSError, ValueError, RecursionError) as error:
            log.warning("keys not fetched", url=self._url, error=str(error) or type(error).__name__)
        else:
            log.info("keys fetched", url=self._url, keys=sorted(self._keys))

    async def _get(self) -> bytes:
        async with (
            httpx2.AsyncClient(
                transport=self._transport, timeout=TIMEOUT_SECONDS, follow_redirects=False
            ) as client,
            client.stream("GET", self._url) as response,
        ):
            response.raise_for_status()
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > DOCUMENT_BYTES:
                    raise ValueError(f"the document is longer than {DOCUMENT_BYTES} bytes")
            return bytes(body)

    def _read(self, body: bytes) -> dict[str, jwt.PyJWK]:
        document = json.loads(body)
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise ValueError("the document has no list of keys")  # noqa: TRY004 a fault of content
        keys = {}
        for entry in listed[:KEYS]:
            if isinstance(entry, dict) and self._is_usable(entry):
                try:
                    keys[entry["kid"]] = jwt.PyJWK(entry, self._algorithm)
                except (jwt.PyJWTError, ValueError, TypeError) as error:
                    log.warning("key not usable", kid=entry["kid"], error=str(error))
        return keys

    def _is_usable(self, entry: dict[str, Any]) -> bool:
        """Only public signature keys of the configured kind; a secret in a key set is a mistake."""
        return (
            isinstance(entry.get("kid"), str)
            and entry.get("kty") == KEY_TYPES[self._algorithm]
            and entry.get("use", "sig") == "sig"
            and entry.get("alg", self._algorithm) == self._algorithm
            and "d" not in entry
        )
