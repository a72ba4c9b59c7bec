"""What all clients of a run share: the ledger, the clock, the addresses, and what they count."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from functools import lru_cache
from typing import Any, Protocol

import jwt
import msgspec

from storm_gateway.audit.client import Return, decoder
from storm_gateway.audit.ledger import Ledger
from storm_gateway.audit.rest import Rest
from storm_gateway.audit.timeline import Clock

_TOKEN_SECONDS = 24 * 3_600
_REMEMBERED = 4_096
_TROUBLES = 50

_SKIPPED = (b'{"type":"presence"', b'{"type":"typing"', b'{"type":"read"')
"""Events of which nothing is promised; lists of presence can be long."""


class _Said(Protocol):
    @property
    def channel_id(self) -> int: ...

    @property
    def user_id(self) -> str: ...

    @property
    def payload(self) -> str: ...


class Crowd:
    """The clients' common ground."""

    def __init__(
        self, *, urls: Sequence[str], secret: str, run: str, ledger: Ledger, clock: Clock, seed: int
    ) -> None:
        """``urls``: of the nodes, ``http://host:port``. ``secret``: with which tokens are signed.
        ``run``: mark of the run, in names and refs.
        """
        self.urls = list(urls)
        self.run = run
        self.ledger = ledger
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311 repeatable, not secret
        self.rest = Rest(self.urls, self.token)
        self._secret = secret
        self._tasks: set[asyncio.Task[None]] = set()
        self._receivers = 0
        self._decode = decoder().decode
        # Hundreds of receivers get the very same bytes.
        self._read = lru_cache(_REMEMBERED)(self._read_new)
        self._identify = lru_cache(_REMEMBERED)(ledger.identify)

        self.acked = 0
        """Messages acknowledged so far."""
        self.delivered = 0
        """Durable events received so far, all receivers together, repeats left out."""
        self.connected = 0
        """Clients that are connected and subscribed now."""
        self.heads: dict[int, int] = {}
        """The newest acknowledged seq of each channel."""
        self.returns: list[Return] = []
        self.closes: Counter[int] = Counter()
        """Close codes of connections that had been usable."""
        self.told = 0
        """How often a node told a client when to reconnect."""
        self.tries: Counter[str] = Counter()
        """Why connections could not be opened."""
        self.errors: Counter[str] = Counter()
        """Error codes that clients got, and tried again."""
        self.repeated_acks = 0
        """Acks of messages that were acknowledged before."""
        self.unanswered = 0
        """Messages sent again because a living connection did not answer."""
        self.holes = 0
        """Events that came before one that should have come first."""
        self.healed = 0
        """Resumes because a heartbeat told of more than had been received."""
        self.gaps = 0
        self.filled = 0
        """Messages read from history pages because of gaps."""
        self.refused_outsiders = 0
        self.troubles: list[str] = []
        """What should not happen at all; each makes the run fail."""

    # --- for clients ---

    def token(self, user_id: str) -> str:
        """As another back end makes them (the contract's access token)."""
        now = int(time.time())
        claims = {"sub": user_id, "iat": now, "exp": now + _TOKEN_SECONDS}
        return jwt.encode(claims, self._secret, "HS256")

    def next_receiver(self) -> int:
        """A place for one more receiver."""
        self._receivers += 1
        return self._receivers - 1

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside; errors of it are trouble."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.trouble(f"{type(error).__name__}: {error}")

    def trouble(self, text: str) -> None:
        """Note what should not happen."""
        if len(self.troubles) < _TROUBLES:
            self.troubles.append(f"{self.clock():.1f} s: {text}")

    def acknowledged(self, number: int, seq: int) -> None:
        """A message was acknowledged for the first time."""
        self.acked += 1
        channel = self.ledger.channel[number]
        if seq > self.heads.get(channel, 0):
            self.heads[channel] = seq

    def number_of(self, ref: str) -> int:
        """Of a message, from the ref that was sent with it."""
        return int(ref.rpartition("-")[2])

    def read(self, text: bytes) -> object:
        """An event; None for those that do not matter."""
        if text.startswith(_SKIPPED):
            return None
        return self._read(text)

    def _read_new(self, text: bytes) -> object:
        try:
            return self._decode(text)
        except msgspec.MsgspecError as error:
            self.trouble(f"an event that cannot be read: {error}")
            return None

    def identify(self, said: _Said) -> tuple[int, int]:
        """(number, checksum) of a message; see :meth:`Ledger.identify`."""
        return self._identify(said.channel_id, said.user_id, said.payload)
