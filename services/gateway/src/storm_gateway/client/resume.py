"""What a client has of each channel's log, and what to do to have all of it. No I/O, no clock.

A log is *live* while each event is the next one. Any doubt (a connection that broke, a jump in
``seq``, a heartbeat whose head is ahead, an event that found no room) is mended the same way:
``subscribe`` again with ``since``, take what follows, drop what is known. When the server says
that it does not replay so much (``gap``), the oldest part is first read from history.
"""

from enum import Enum, auto

from storm_gateway.protocol.events import Gap

DOUBTFUL_HEARTBEATS = 2


class State(Enum):
    """Where a channel's log stands."""

    ASKING = auto()
    """A subscribe is to be sent, or was sent and is not answered."""
    LIVE = auto()
    FILLING = auto()
    """History is being read; events are dropped meanwhile, and asked for again afterwards."""
    BEHIND = auto()
    """The reader of events was slow: ask again when there is room."""


class Verdict(Enum):
    """What to do with a durable event."""

    TAKE = auto()
    KNOWN = auto()
    """Received before: drop it."""
    MISSED = auto()
    """Something before it is missing: drop it and subscribe again."""
    LATER = auto()
    """Drop it: it will come again by the subscribe, or the filling, that is under way."""


class ChannelLog:
    """The position in one channel's log."""

    __slots__ = (
        "_ahead",
        "channel_id",
        "fill_from",
        "fill_to",
        "last",
        "replay_to",
        "rewound",
        "state",
    )

    def __init__(self, channel_id: int, since: int | None = None, *, rewound: bool = False) -> None:
        self.channel_id = channel_id
        self.rewound = rewound
        """A position was forgotten, and the program is still to be told of it."""
        self.last = since
        """The newest ``seq`` taken; None until the first ``subscribed`` says where live begins."""
        self.replay_to = 0
        """Up to here a replay answers, which may leave superseded events out."""
        self.fill_from = 0
        self.fill_to = 0
        self.state = State.ASKING
        self._ahead = 0  # heartbeats in a row whose head was below

    def judge(self, seq: int) -> Verdict:
        """Look at an event without taking it."""
        if self.last is None or self.state in (State.FILLING, State.BEHIND):
            return Verdict.LATER
        if seq <= self.last:
            return Verdict.KNOWN
        if seq == self.last + 1 or (self.state is State.LIVE and seq <= self.replay_to):
            return Verdict.TAKE
        return Verdict.LATER if self.state is State.ASKING else Verdict.MISSED

    def take(self, seq: int) -> None:
        """The event was handed over."""
        self.last = seq if self.last is None else max(self.last, seq)

    def ask(self) -> None:
        """Begin again with a subscribe, unless history is still being read."""
        if self.state is not State.FILLING:
            self.state = State.ASKING

    def fall_behind(self) -> None:
        """An event found no room."""
        if self.state is not State.FILLING:
            self.state = State.BEHIND

    def subscribed(self, head: int, gap: Gap | None, *, reset: bool = False) -> bool:
        """The server's answer to the subscribe. Whether history has to be read now."""
        self._ahead = 0
        self.rewound |= reset
        if self.last is None or reset:
            self.last = head
        if gap is not None and gap.to > self.last:
            self.state = State.FILLING
            self.fill_from = self.last + 1
            # Half of what was replayed is read from history too. So there is time until the next
            # subscribe; at a gap's exact end a busy channel would have moved on and gap again.
            self.fill_to = max(gap.to, (gap.to + head) // 2)
        else:
            self.state = State.LIVE
            self.replay_to = head
        return self.state is State.FILLING

    def filled(self) -> None:
        """History is read up to ``fill_to``: subscribe again from there."""
        self.take(self.fill_to)
        self.state = State.ASKING

    def is_short_of(self, head: int) -> bool:
        """Whether a live log lacks events up to ``head``, the head of a heartbeat."""
        return self.state is State.LIVE and self.last is not None and self.last < head

    def is_ahead_of(self, head: int) -> bool:
        """Whether a live log goes beyond what the server says to have given: then it has to be
        asked, since its database may have been restored from a backup.

        A node that lags behind the others looks the same, so it takes two heartbeats in a row;
        and only the answer to the subscribe, which is read from the store, sets the log back.
        """
        if self.state is not State.LIVE or self.last is None or head >= self.last:
            self._ahead = 0
            return False
        self._ahead += 1
        return self._ahead >= DOUBTFUL_HEARTBEATS
