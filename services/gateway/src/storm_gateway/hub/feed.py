"""What one node knows of one channel or event stream that somebody here listens to."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

_REWRITES = b'{"type":"message.'
"""How an edit or a deletion begins, after a frame header of at most 10 bytes."""

_PASS_BYTES = 256 * 1024
"""Bytes of frames in one pass, and of ephemeral ones that may wait for it."""
_CONGESTED_BYTES = 8 * 1024 * 1024
"""Bytes that wait for a pass when a channel's senders are asked to pause."""
_FEW = 16
"""Subscribers up to which a tuple holds them: a dictionary of one is four times as large."""
_KEPT_FOR = 4
"""Subscribers from which on events are kept for those who return. With fewer, hardly anybody does,
and the store has what they missed: of 100,000 people in channels of ten, on seven nodes, nearly
every channel has one or two here.
"""


class _Nothing(dict[Any, Any]):
    """In place of what most feeds do not have: a node has as many feeds as small channels with
    somebody in them, and empty containers were two thirds of each.
    """

    def __setitem__(self, key: object, value: object) -> None:
        raise TypeError("this is shared by all feeds")


_NOTHING = _Nothing()


class Subscriber(Protocol):
    """What the hub asks of a connection. None of it may block or raise."""

    feeds: "tuple[Feed, ...]"
    """The feeds that the connection listens to; the hub keeps it."""

    @property
    def user_id(self) -> str: ...

    @property
    def is_open(self) -> bool:
        """Whether it can still be written to."""

    def deliver(self, data: bytes, durable: bytes, ephemeral: bytes) -> None:
        """Write ``data``, which is ``durable`` and ``ephemeral`` joined; a slow client may get
        only ``durable``.
        """

    def send(self, data: bytes) -> None:
        """Write frames that only this connection gets; never dropped."""

    async def writable(self) -> bool:
        """Wait until the client has taken what was sent; False when it is gone."""

    def close(self, code: int, reason: str = "") -> None:
        """Begin the close handshake."""


class Pass:
    """One batch of frames on its way to the subscribers that there were when it began."""

    __slots__ = (
        "count",
        "data",
        "durable",
        "ephemeral",
        "gone",
        "last_seq",
        "position",
        "since",
        "targets",
    )

    def __init__(self, durable: bytes, ephemeral: bytes, count: int, last_seq: int) -> None:
        self.durable = durable
        self.ephemeral = ephemeral
        # The same object when there is only one kind: no copy for the usual case.
        self.data = durable + ephemeral if durable and ephemeral else durable or ephemeral
        self.count = count
        self.last_seq = last_seq
        self.targets: list[Subscriber] = []
        self.position = 0
        self.since = 0.0  # time.perf_counter: since when the first durable frame waits
        self.gone: set[Subscriber] | None = None


class Feed:
    """The subscribers of one topic on this node and the frames they are about to get.

    ``seq`` is the newest event accepted in order; ``settled`` the newest that every subscriber's
    connection has been given. A stream has no seq: its frames are all ephemeral.
    """

    __slots__ = (
        "channel_id",
        "checking",
        "ephemeral",
        "ephemeral_bytes",
        "held",
        "idle_since",
        "joiners",
        "live_since",
        "marked",
        "passing",
        "pending",
        "pending_bytes",
        "recent",
        "recent_bytes",
        "recent_seq",
        "references",
        "repair_again",
        "repairing",
        "replaying",
        "seq",
        "settled",
        "since",
        "subscribers",
        "topic",
    )

    def __init__(self, topic: str, channel_id: int) -> None:
        self.topic = topic
        self.channel_id = channel_id  # 0: a stream
        self.live_since = 0.0  # time.monotonic; 0: not yet
        self.references = 0  # subscribes under way
        self.idle_since = 0
        self.seq = 0
        self.settled = 0
        # A dictionary of keys alone is half of a set, where there are hundreds.
        self.subscribers: dict[Subscriber, None] | tuple[Subscriber, ...] = ()
        self.joiners: dict[Subscriber, int] = _NOTHING  # connection → newest seq that it has
        self.replaying: dict[Subscriber, object] = _NOTHING  # connection → token of its subscribe
        self.pending: list[tuple[int, bytes]] | tuple[()] = ()
        self.pending_bytes = 0
        self.since = 0.0  # time.perf_counter: since when the first of them waits
        self.ephemeral: list[bytes] | tuple[()] = ()
        self.ephemeral_bytes = 0
        # A list, though the oldest leave first: one of a few events is an eighth of a deque.
        self.recent: list[tuple[int, bytes]] | tuple[()] = ()
        self.recent_bytes = 0
        self.recent_seq = 0  # as it was when somebody last looked whether it moves
        self.held: dict[int, bytes] = _NOTHING  # events that came before their predecessors
        self.checking = 0  # looks at whether everybody may still receive this
        self.repairing = False
        self.repair_again = False  # asked for while one is under way
        self.marked = False
        self.passing: Pass | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody here listens or is about to."""
        return bool(self.subscribers or self.joiners or self.replaying or self.references)

    def accept(self, seq: int, frame: bytes, keep: int, keep_bytes: int) -> None:
        """The next event in order: to be written, and kept for those who return, where that may be
        somebody: a replay under way needs what comes meanwhile in any case.
        """
        self.seq = seq
        event = (seq, frame)
        if self.pending:
            self.pending.append(event)
        else:
            self.since = time.perf_counter()
            self.pending = [event]
        self.pending_bytes += len(frame)
        if _REWRITES in frame[:32]:
            # A replay tells messages as they are now: what was deleted must not come back.
            self.forget_recent()
        if len(self.subscribers) < _KEPT_FOR and not (self.replaying or self.references):
            # Whole or not at all: what is kept has no holes.
            self.forget_recent()
            return
        recent = self.recent
        if isinstance(recent, tuple):
            recent = self.recent = []
        recent.append(event)
        self.recent_bytes += len(frame)
        while recent and (len(recent) > keep or self.recent_bytes > keep_bytes):
            self.recent_bytes -= len(recent.pop(0)[1])

    def forget_recent(self) -> None:
        """Replays read the store again."""
        self.recent = ()
        self.recent_bytes = 0

    def go_back(self, head: int) -> None:
        """The log ends before what was accepted: the database was restored from a backup. What is
        remembered here was said in a log that is gone.
        """
        self.seq = self.settled = head
        self.pending = ()
        self.pending_bytes = 0
        self.forget_recent()
        self.held = _NOTHING

    def hold(self, seq: int, frame: bytes) -> None:
        """Keep an event that came before its predecessor."""
        if self.held is _NOTHING:
            self.held = {}
        self.held[seq] = frame

    def take_held(self) -> Iterator[tuple[int, bytes]]:
        """What was held and is next in order now; the caller accepts each. What is older than that
        is dropped.
        """
        while self.held and (frame := self.held.pop(self.seq + 1, None)) is not None:
            yield self.seq + 1, frame
        later = {seq: frame for seq, frame in self.held.items() if seq > self.seq}
        self.held = later or _NOTHING

    def accept_ephemeral(self, frame: bytes) -> bool:
        """Something that may be lost; False when it is, because too much of it waits already."""
        if self.ephemeral and self.ephemeral_bytes + len(frame) > _PASS_BYTES:
            return False
        if self.ephemeral:
            self.ephemeral.append(frame)
        else:
            self.ephemeral = [frame]
        self.ephemeral_bytes += len(frame)
        return True

    @property
    def congested(self) -> bool:
        """Whether messages come faster than the subscribers here can be written to."""
        return self.pending_bytes > _CONGESTED_BYTES

    def recent_after(self, seq: int) -> list[bytes] | None:
        """The frames after ``seq`` from memory; None when memory does not reach back so far."""
        if seq >= self.seq:
            return []
        if not self.recent or self.recent[0][0] > seq + 1:
            return None
        return [frame for number, frame in self.recent if number > seq]

    def add(self, subscriber: Subscriber, seq: int) -> None:
        """Go live for a connection that has everything up to ``seq``."""
        if self.pending or seq > self.seq:
            if self.joiners is _NOTHING:
                self.joiners = {}
            self.joiners[subscriber] = seq
        else:
            self._serve(subscriber)

    def _serve(self, subscriber: Subscriber) -> None:
        """From now on every pass is for this connection, too."""
        have = self.subscribers
        if isinstance(have, tuple):
            if subscriber in have:
                return
            if len(have) < _FEW:
                self.subscribers = (*have, subscriber)
                return
            have = self.subscribers = dict.fromkeys(have)
        have[subscriber] = None

    def fit(self) -> None:
        """Most have left: a dictionary keeps the room of what was removed from it."""
        have = self.subscribers
        if isinstance(have, dict):
            self.subscribers = dict(have) if len(have) > _FEW else tuple(have)

    def begin_replay(self, subscriber: Subscriber, token: object) -> None:
        """The connection is catching up by the subscribe that ``token`` stands for."""
        if self.replaying is _NOTHING:
            self.replaying = {}
        self.replaying[subscriber] = token

    def end_replay(self, subscriber: Subscriber) -> None:
        """It is not any more. One that was not is no error."""
        if self.replaying:
            self.replaying.pop(subscriber, None)
            if not self.replaying:
                self.replaying = _NOTHING

    def discard(self, subscriber: Subscriber) -> None:
        """Forget a connection, in the middle of a pass too."""
        have = self.subscribers
        if isinstance(have, dict):
            have.pop(subscriber, None)
        elif subscriber in have:
            self.subscribers = tuple(each for each in have if each is not subscriber)
        if self.joiners:
            self.joiners.pop(subscriber, None)
        self.end_replay(subscriber)
        if self.passing is not None:
            if self.passing.gone is None:
                self.passing.gone = set()
            self.passing.gone.add(subscriber)

    def begin_pass(self) -> Pass:
        """Take what gathered; frames that come from now on are of the next pass."""
        pending = self._take_pending()
        count = len(pending) + len(self.ephemeral)
        ephemeral, self.ephemeral = b"".join(self.ephemeral), ()
        self.ephemeral_bytes = 0
        durable = pending[0][1] if len(pending) == 1 else b"".join(f for _, f in pending)
        found = Pass(durable, ephemeral, count, pending[-1][0] if pending else 0)
        found.since = self.since
        found.targets = list(self.subscribers)
        self.passing = found
        if self.joiners:
            self._serve_joiners(pending, ephemeral)
        return found

    def _take_pending(self) -> Sequence[tuple[int, bytes]]:
        # A pass is bounded, because a client that takes only a part of it keeps the rest.
        size = 0
        for index, (_, frame) in enumerate(self.pending):
            size += len(frame)
            if size > _PASS_BYTES and index:
                self.pending_bytes -= size - len(frame)
                taken, self.pending = self.pending[:index], list(self.pending[index:])
                return taken
        self.pending_bytes -= size
        everything, self.pending = self.pending, ()
        return everything

    def _serve_joiners(self, pending: Sequence[tuple[int, bytes]], ephemeral: bytes) -> None:
        # They came while frames were waiting: each gets only what it does not have.
        reached = pending[-1][0] if pending else self.seq
        for joiner, seq in list(self.joiners.items()):
            durable = b"".join(frame for number, frame in pending if number > seq)
            if durable or ephemeral:
                joiner.deliver(durable + ephemeral, durable, ephemeral)
            if joiner in self.joiners and reached >= seq:
                del self.joiners[joiner]
                self._serve(joiner)
        if not self.joiners:
            self.joiners = _NOTHING

    def __iter__(self) -> Iterator[Subscriber]:
        yield from list(self.subscribers)
        yield from list(self.joiners)
        yield from list(self.replaying)
