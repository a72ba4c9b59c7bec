"""The ledger: what was tried, what was acknowledged, and who received what in which order.

Numbers only, in columns: a delivery takes 40 bytes, so that millions of them fit. What the store
holds at the end is a :class:`Stored`. Nothing is judged here; see ``verdict.py``.
"""

import zlib
from array import array
from dataclasses import dataclass, field

from storm_gateway.audit.texts import Texts

STRANGE = -1
"""The number of a message that nobody sent: unknown text, or another author or channel."""
CHANGE = -2
"""The number of a durable event that is no message (a join, an update)."""

OPEN, ACKED, REFUSED = 0, 1, 2


@dataclass(slots=True)
class Stream:
    """What one receiver gets of one channel, over all its connections."""

    receiver: int
    channel: int
    after: int | None = None
    """Entitled to every event after this seq; None: to nothing."""
    upto: int | None = None
    """Entitled up to this seq, included; None: without end."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Ranges that the server said it does not replay: only their messages can be read."""

    def entitles(self, seq: int) -> bool:
        """Whether the receiver may, and must, get the event."""
        return self.after is not None and (self.upto is None or seq <= self.upto)


@dataclass(slots=True)
class StoredMessage:
    """A message as the store has it."""

    seq: int
    id: int
    number: int
    print: int = 0
    """A checksum of author and text, of strange ones only."""


@dataclass(slots=True)
class Stored:
    """What the store holds of the channels of a run, at its end."""

    messages: dict[int, list[StoredMessage]]
    """By channel, in order of seq."""
    changes: dict[int, set[int]] | None = None
    """By channel, the seqs of all events that are no messages; None: could not be read."""


class Ledger:
    """Columns that only grow."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        # One entry for each attempt; its number is its place.
        self.senders: list[str] = []
        self.sender = array("I")
        self.channel = array("q")
        self.tried_at = array("d")
        self.acked_at = array("d")
        self.ack_id = array("q")
        self.ack_seq = array("q")
        self.state = bytearray()
        self.unknown = bytearray()
        """1: at some time nobody could say what became of it."""
        self.contradictions: list[tuple[int, int, int]] = []
        """(number, id, seq) of acks that say something else than the first one."""
        self.refusals: dict[str, int] = {}
        # One entry for each durable event received.
        self.streams: list[Stream] = []
        self.stream = array("I")
        self.seq = array("q")
        self.id = array("q")
        self.number = array("q")
        self.received_at = array("d")
        self.generation = array("I")
        """Which subscription of its stream brought it: it grows with each resume."""
        self.prints: dict[int, int] = {}
        """By place, the checksum of a strange one."""

    # --- sending ---

    @property
    def attempts(self) -> int:
        """Messages that somebody tried to send; retries are not counted again."""
        return len(self.sender)

    def add_sender(self, user_id: str) -> int:
        """Someone who sends; gives the sender's place."""
        self.senders.append(user_id)
        return len(self.senders) - 1

    def attempt(self, sender: int, channel: int, at: float) -> int:
        """A new message; gives its number."""
        self.sender.append(sender)
        self.channel.append(channel)
        self.tried_at.append(at)
        self.acked_at.append(0.0)
        self.ack_id.append(0)
        self.ack_seq.append(0)
        self.state.append(OPEN)
        self.unknown.append(0)
        return len(self.sender) - 1

    def ack(self, number: int, id_: int, seq: int, at: float) -> bool:
        """An ack came; False when it was acknowledged before."""
        if self.state[number] == ACKED:
            if (self.ack_id[number], self.ack_seq[number]) != (id_, seq):
                self.contradictions.append((number, id_, seq))
            return False
        self.state[number] = ACKED
        self.acked_at[number] = at
        self.ack_id[number] = id_
        self.ack_seq[number] = seq
        return True

    def refuse(self, number: int, code: str) -> None:
        """It was refused for good: it must not be stored."""
        if self.state[number] == OPEN:
            self.state[number] = REFUSED
            self.refusals[code] = self.refusals.get(code, 0) + 1

    # --- receiving ---

    def add_stream(self, receiver: int, channel: int) -> int:
        """A receiver and a channel; entitled to nothing until :meth:`entitle`."""
        self.streams.append(Stream(receiver, channel))
        return len(self.streams) - 1

    def entitle(self, stream: int, after: int) -> None:
        """From its first subscription on, with the head of that moment."""
        if self.streams[stream].after is None:
            self.streams[stream].after = after

    def receive(
        self, stream: int, generation: int, seq: int, id_: int, number: int, at: float
    ) -> int:
        """A durable event came; ``number`` by :meth:`identify`, or CHANGE. Gives its place."""
        self.stream.append(stream)
        self.seq.append(seq)
        self.id.append(id_)
        self.number.append(number)
        self.received_at.append(at)
        self.generation.append(generation)
        return len(self.stream) - 1

    def identify(self, channel: int, author: str, payload: str) -> tuple[int, int]:
        """(number, checksum) of a message that was seen: STRANGE unless author, channel and text
        are those of an attempt.
        """
        number = self.texts.number(payload)
        if (
            0 <= number < len(self.sender)
            and self.channel[number] == channel
            and self.senders[self.sender[number]] == author
        ):
            return number, 0
        return STRANGE, checksum(author, payload)


def checksum(author: str, payload: str) -> int:
    """Of a message that is not known by its number."""
    return zlib.crc32(f"{author}\0{payload}".encode("utf-8", "surrogatepass"))
