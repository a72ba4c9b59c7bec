"""A client that sends on a schedule, and asks again until it knows what became of each message."""

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from storm_gateway.audit.client import Client
from storm_gateway.protocol import events
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.commands import Message

if TYPE_CHECKING:
    from storm_gateway.audit.crowd import Crowd

_RETRIED = frozenset({"unavailable", "internal", "rate_limited"})
"""Errors that say nothing final: the same ``ref`` is sent again."""
_RETRY_SECONDS = 0.5
_ACK_SECONDS = 10.0
"""A message without an answer for so long, on a connection that lives, is sent again."""
_SHARE = 0.8
"""Of the rate that the server allows; pings need some too."""


class Sender(Client):
    """Sends to some channels; receives only answers."""

    def __init__(self, crowd: "Crowd", user_id: str, channels: list[int]) -> None:
        super().__init__(crowd, user_id)
        self.channels = channels
        self.place = crowd.ledger.add_sender(user_id)
        self.waiting: deque[int] = deque()
        """Numbers to be sent as soon as the connection and the rate allow it."""
        self.asked: dict[int, float] = {}
        """Number → when it was sent, for those without an answer; oldest first."""
        self.later: list[tuple[float, int]] = []
        """(when, number) of those to be tried again."""
        self._tokens = 0.0
        self._rate = 10.0
        self._burst = 10.0
        self._filled = 0.0

    @property
    def outstanding(self) -> int:
        """Messages whose outcome is not known."""
        return len(self.waiting) + len(self.asked) + len(self.later)

    def send_new(self) -> None:
        """One more message, now."""
        crowd = self.crowd
        channel = self.channels[crowd.random.randrange(len(self.channels))]
        self.waiting.append(crowd.ledger.attempt(self.place, channel, crowd.clock()))
        self.flush(crowd.clock())

    def ask_again(self, number: int) -> None:
        """Send a message once more, whatever is known of it."""
        self.waiting.append(number)

    def welcomed(self, hello: events.Hello) -> None:
        self._rate = hello.limits.commands_per_second * _SHARE
        self._burst = self._tokens = hello.limits.commands_burst * _SHARE
        self._filled = self.crowd.clock()

    def began(self) -> None:
        self.back()
        self.flush(self.crowd.clock())

    def ended(self) -> None:
        # What was sent and not answered may be stored, or not: ask again, oldest first.
        for number in self.asked:
            self.crowd.ledger.unknown[number] = 1
        self.waiting.extendleft(reversed(self.asked))
        self.asked.clear()

    def look(self, now: float) -> None:
        super().look(now)
        while self.later and self.later[0][0] <= now:
            self.waiting.append(heappop(self.later)[1])
        if self.asked and self.is_back:
            number, sent_at = next(iter(self.asked.items()))
            if now - sent_at > _ACK_SECONDS:
                del self.asked[number]
                self.crowd.ledger.unknown[number] = 1
                self.crowd.unanswered += 1
                self.waiting.appendleft(number)
        self.flush(now)

    def flush(self, now: float) -> None:
        """Send what waits, as far as the server's rate limit allows."""
        if not self.waiting or not self.is_back or self.wire is None:
            return
        ledger = self.crowd.ledger
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        while self.waiting and self._tokens >= 1:
            self._tokens -= 1
            number = self.waiting.popleft()
            self.asked[number] = now
            self.wire.send(
                encode(
                    Message(
                        ledger.channel[number],
                        ledger.texts.text(number),
                        f"{self.crowd.run}-{number}",
                    )
                )
            )

    def told(self, event: object, text: bytes) -> None:
        match event:
            case events.Ack(ref=ref, id=id_, seq=seq) if id_ is not None and seq is not None:
                number = self.crowd.number_of(ref)
                self.asked.pop(number, None)
                if self.crowd.ledger.ack(number, id_, seq, self.crowd.clock()):
                    self.crowd.acknowledged(number, seq)
                else:
                    self.crowd.repeated_acks += 1
            case events.Error(ref=str(ref), code=code, retry_after_ms=after):
                number = self.crowd.number_of(ref)
                self.asked.pop(number, None)
                self.crowd.errors[code] += 1
                if code in _RETRIED:
                    # An unavailable store may have committed: nobody knows.
                    self.crowd.ledger.unknown[number] = 1
                    wait = after / 1000 if after is not None else _RETRY_SECONDS
                    heappush(self.later, (self.crowd.clock() + wait, number))
                else:
                    self.crowd.ledger.refuse(number, code)
            case events.Error(code=code) if code in _RETRIED:
                self.crowd.errors[code] += 1  # of the opening; what follows is asked again anyway
            case events.Error(code=code, message=message):
                self.crowd.trouble(f"{self.user_id}: {code}: {message}")
