"""A client that comes back: on another node, soon, and not all at the same moment."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec

from storm_gateway.audit.wire import LEFT, Wire
from storm_gateway.protocol import events
from storm_gateway.protocol.close_codes import may_reconnect
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.commands import Ping

if TYPE_CHECKING:
    from storm_gateway.audit.crowd import Crowd

FIRST_SECONDS, LONGEST_SECONDS = 0.1, 2.0
"""Bounds of the wait before a new try: full jitter below a bound that doubles."""
OPEN_SECONDS = 3.0
"""A node that does not answer an upgrade for so long is left."""
SILENT_SECONDS = 1.0
"""After so much silence a client pings."""
DEAD_SECONDS = 2.5
"""A ping that is not answered for so long: the node is frozen, or the way to it is broken."""


class Return(NamedTuple):
    """A client that lost its connection and was back."""

    node: str
    """From which it went."""
    lost_at: float
    back_at: float
    code: int


class Client:
    """One user with one connection at a time."""

    def __init__(self, crowd: "Crowd", user_id: str) -> None:
        self.crowd = crowd
        self.user_id = user_id
        self.token = crowd.token(user_id)
        self.wire: Wire | None = None
        self.node = ""
        """The name of the node that said hello last."""
        self.is_known = False
        """The server has made the user: commands are answered."""
        self.is_back = False
        self.gone = False
        """It was told not to come back, or the run is over."""
        self._target = 0
        self._bound = FIRST_SECONDS
        self._since = 0.0  # of connecting, or when something was heard last
        self._pinged = 0.0
        self._lost: tuple[str, float, int] | None = None
        self._moving: asyncio.TimerHandle | None = None

    # --- for subclasses ---

    def began(self) -> None:
        """The connection is usable and the user known; each time."""
        self.back()

    def told(self, event: object, text: bytes) -> None:
        """Something came that is not of the connection itself."""

    def ended(self) -> None:
        """The connection is gone."""

    # --- connecting ---

    def aim(self, number: int) -> None:
        """Which node comes first."""
        self._target = number % len(self.crowd.urls)

    def connect(self) -> None:
        """Try to connect now."""
        if self.gone or self.wire is not None:
            return
        url = urlsplit(self.crowd.urls[self._target])
        wire = self.wire = Wire(self, url.netloc, self.token)
        self._since, self._pinged = self.crowd.clock(), 0.0
        self.crowd.start(self._connect(wire, url.hostname or "", url.port or 80))

    async def _connect(self, wire: Wire, host: str, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: wire, host, port)
        except OSError as error:
            if self.wire is wire:
                self.lost(wire, 0, str(error))

    def opened(self, wire: Wire) -> None:
        self._since = self.crowd.clock()

    def lost(self, wire: Wire, code: int, reason: str) -> None:
        """The connection ended, or could not be opened: come back, elsewhere."""
        if self.wire is not wire:
            return
        self.wire = None
        crowd = self.crowd
        planned = self._moving is not None
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None
        if self.is_back:
            self.is_back = False
            crowd.connected -= 1
            self._lost = (self.node, crowd.clock(), code)
            crowd.closes[code] += 1
        else:
            crowd.tries[reason.partition(":")[0][:60] or str(code)] += 1
        self.ended()
        if self.gone:
            return
        if code and not may_reconnect(code) and not (planned and code == LEFT):
            self.gone = True
            crowd.trouble(f"{self.user_id} was sent away for good: {code} {reason}")
            return
        if len(crowd.urls) > 1:
            others = len(crowd.urls) - 1
            self._target = (self._target + 1 + crowd.random.randrange(others)) % (others + 1)
        wait = 0.0 if planned else crowd.random.random() * self._bound
        self._bound = min(LONGEST_SECONDS, self._bound * 2)
        asyncio.get_running_loop().call_later(wait, self.connect)

    def cut(self, code: int = 1006, reason: str = "cut") -> None:
        """End the connection from this side, without a word, and come back."""
        wire = self.wire
        if wire is not None:
            wire.cut()
            self.lost(wire, code, reason)

    def back(self) -> None:
        """Everything is as it was before the connection was lost."""
        if self.is_back:
            return
        self.is_back = True
        self._bound = FIRST_SECONDS
        self.crowd.connected += 1
        if self._lost is not None:
            self.crowd.returns.append(Return(*self._lost[:2], self.crowd.clock(), self._lost[2]))
            self._lost = None

    def leave(self) -> None:
        """For good."""
        self.gone = True
        if self.wire is not None:
            self.wire.leave()

    def look(self, now: float) -> None:
        """Called some times a second: is the other end still there?"""
        wire = self.wire
        if wire is None:
            return
        if not wire.is_open:
            if now - self._since > OPEN_SECONDS:
                self.cut(0, "no answer to the upgrade")
        elif self._pinged:
            if now - self._pinged > DEAD_SECONDS:
                self.cut(1006, "ping timeout")
        elif now - self._since > SILENT_SECONDS:
            self._pinged = now
            wire.ping()

    def forgive(self, seconds: float) -> None:
        """This process slept: nobody else is to blame for the silence."""
        self._since += seconds
        if self._pinged:
            self._pinged += seconds

    # --- hearing ---

    def heard(self, wire: Wire, text: bytes) -> None:
        self._since, self._pinged = self.crowd.clock(), 0.0
        if not text or self.wire is not wire:
            return
        event = self.crowd.read(text)
        match event:
            case None:
                return
            case events.Hello():
                self.node = event.node
                self.welcomed(event)
                # Answered once the user is made, and after that at once.
                wire.send(encode(Ping("known")))
            case events.Pong(ref="known"):
                self.is_known = True
                self.began()
            case events.Reconnect(after_ms=after):
                if self._moving is None:
                    self.crowd.told += 1
                    self._moving = asyncio.get_running_loop().call_later(after / 1000, wire.leave)
            case _:
                self.told(event, text)

    def welcomed(self, hello: events.Hello) -> None:
        """The limits of this connection are known."""


def decoder() -> msgspec.json.Decoder[object]:
    """Of everything that the server says."""
    kinds = events.REPLIES + events.EVENTS
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind  # type: ignore[assignment]
    return msgspec.json.Decoder(union)
