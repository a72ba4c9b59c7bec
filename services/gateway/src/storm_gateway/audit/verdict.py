"""The verdict on a ledger: what was lost, doubled, out of order, or came from nowhere.

Each fault of a history is counted once, under the first of these that fits:

phantom
    A message in the store that nobody tried to send, that was refused for good, or whose author,
    channel or text is not what was sent. A delivery of something that the store does not hold, or
    holds differently, or to somebody who was not entitled to it.
duplicated
    A message (one ``ref``) that the store holds more than once: each row beyond the first. An
    event that one subscription delivered a second time. An event that a *new* subscription
    brings again is a repeat: every client drops those by ``seq``, so they are only counted.
lost
    An acknowledged message that the store does not hold where the ack said. An acknowledged
    message that the store holds and an entitled receiver never got, once for each receiver.
out of order
    An event that came after a later one of its channel. A hole that is no lost message: a ``seq``
    that the store does not have, or that a receiver never got. Two messages with one ``seq``.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from storm_gateway.audit.ledger import ACKED, CHANGE, OPEN, REFUSED, Ledger, Stored, StoredMessage

_EXAMPLES = 10


@dataclass(slots=True)
class Verdict:
    """What a history amounts to."""

    attempts: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    """Messages of which, in spite of all retries, nobody can say what became of them."""
    stored: int = 0
    delivered: int = 0
    """Messages received, by everyone together, repeats left out."""
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    phantom: int = 0
    repeats: int = 0
    """Events that a resume brought again; clients drop them."""
    disagreements: int = 0
    """Messages that history pages and the store itself tell differently."""
    examples: list[str] = field(default_factory=list)
    """A sentence for the first faults of each kind."""
    shown: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (
            self.lost
            or self.duplicated
            or self.out_of_order
            or self.phantom
            or self.unknown
            or self.disagreements
        )

    def add(self, kind: str, sentence: str) -> None:
        """Count one fault."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.shown[kind] += 1
        if self.shown[kind] <= _EXAMPLES:
            self.examples.append(f"{kind.replace('_', ' ')}: {sentence}")


def judge(ledger: Ledger, stored: Stored) -> Verdict:
    """Compare what was sent, what is stored and what was received."""
    verdict = Verdict(attempts=ledger.attempts)
    states = Counter(ledger.state)
    verdict.acknowledged, verdict.refused = states[ACKED], states[REFUSED]
    for number in range(ledger.attempts if states[OPEN] else 0):
        if ledger.state[number] == OPEN:
            verdict.add("unknown", f"message {number}: neither acknowledged nor refused")
    log = _Log(ledger, stored)
    _judge_store(ledger, log, verdict)
    _judge_streams(ledger, log, verdict)
    return verdict


class _Log:
    """What is stored, ready to be asked."""

    def __init__(self, ledger: Ledger, stored: Stored) -> None:
        self.stored = stored
        self.rows: dict[int, dict[int, StoredMessage]] = {
            channel: {row.seq: row for row in rows} for channel, rows in stored.messages.items()
        }
        self.is_whole = stored.changes is not None
        """Whether every event is known, not only messages."""
        # Without the whole log, what anyone received as a change is believed to be one.
        self.changes: dict[int, set[int]] = stored.changes or _changes_received(ledger)
        self.heads: dict[int, int] = {
            channel: max([*rows, *self.changes.get(channel, ())], default=0)
            for channel, rows in self.rows.items()
        }


def _changes_received(ledger: Ledger) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for at, number in enumerate(ledger.number):
        if number == CHANGE:
            channel = ledger.streams[ledger.stream[at]].channel
            found.setdefault(channel, set()).add(ledger.seq[at])
    return found


def _judge_store(ledger: Ledger, log: _Log, verdict: Verdict) -> None:
    rows_of: Counter[int] = Counter()
    for channel, rows in log.stored.messages.items():
        verdict.stored += len(rows)
        seqs = Counter(row.seq for row in rows)
        for seq, count in seqs.items():
            for _ in range(count - 1):
                verdict.add("out_of_order", f"channel {channel} has two messages with seq {seq}")
        for row in rows:
            if row.number < 0:
                verdict.add(
                    "phantom", f"channel {channel} seq {row.seq}: stored, and nobody sent it so"
                )
                continue
            rows_of[row.number] += 1
            if rows_of[row.number] > 1:
                verdict.add(
                    "duplicated", f"message {row.number} is stored again: {channel} {row.seq}"
                )
            elif ledger.state[row.number] == REFUSED:
                verdict.add("phantom", f"message {row.number} was refused, and is stored")
        if log.is_whole:
            known = log.changes.get(channel, set())
            for seq in range(1, log.heads[channel] + 1):
                if seq not in seqs and seq not in known:
                    verdict.add("out_of_order", f"channel {channel} has no seq {seq}")
    for number in range(ledger.attempts):
        if ledger.state[number] == ACKED and not _is_stored(
            ledger, log, number, ledger.ack_id[number], ledger.ack_seq[number]
        ):
            verdict.add("lost", f"message {number} was acknowledged, and is not stored")
    for number, id_, seq in ledger.contradictions:
        if not _is_stored(ledger, log, number, id_, seq):
            verdict.add("lost", f"message {number}: a later ack names a place where it is not")


def _is_stored(ledger: Ledger, log: _Log, number: int, id_: int, seq: int) -> bool:
    row = log.rows.get(ledger.channel[number], {}).get(seq)
    # A strange row in its place is a phantom already.
    return row is not None and row.id == id_ and row.number in (number, -1)


def _judge_streams(ledger: Ledger, log: _Log, verdict: Verdict) -> None:
    places = [array("L") for _ in ledger.streams]
    for at, stream in enumerate(ledger.stream):
        places[stream].append(at)
    for stream, received in enumerate(places):
        _judge_stream(ledger, log, verdict, stream, received)


def _judge_stream(
    ledger: Ledger, log: _Log, verdict: Verdict, index: int, received: Sequence[int]
) -> None:
    """One receiver and one channel, in the order in which things came."""
    stream = ledger.streams[index]
    who = f"receiver {stream.receiver}, channel {stream.channel}"
    seen: dict[int, int] = {}  # seq → the subscription that brought it last
    strange: set[int] = set()
    highest = 0
    for at in received:
        seq = ledger.seq[at]
        if not stream.entitles(seq):
            verdict.add("phantom", f"{who}: got seq {seq} without any right to it")
        elif not _as_stored(ledger, log, stream.channel, at):
            verdict.add("phantom", f"{who}: got a seq {seq} that the store does not hold so")
            strange.add(seq)
        elif seq in seen:
            if seen[seq] == ledger.generation[at]:
                verdict.add("duplicated", f"{who}: got seq {seq} twice")
            else:
                verdict.repeats += 1
                seen[seq] = ledger.generation[at]
        else:
            seen[seq] = ledger.generation[at]
            verdict.delivered += ledger.number[at] != CHANGE
            if seq < highest:
                verdict.add("out_of_order", f"{who}: got seq {seq} after {highest}")
            else:
                highest = seq
    _judge_missing(ledger, log, verdict, index, seen.keys() | strange)


def _as_stored(ledger: Ledger, log: _Log, channel: int, at: int) -> bool:
    seq, number = ledger.seq[at], ledger.number[at]
    row = log.rows.get(channel, {}).get(seq)
    if number == CHANGE:
        return row is None and seq in log.changes.get(channel, ())
    return (
        row is not None
        and row.id == ledger.id[at]
        and row.number == number
        and row.print == ledger.prints.get(at, 0)
    )


def _judge_missing(ledger: Ledger, log: _Log, verdict: Verdict, index: int, got: set[int]) -> None:
    stream = ledger.streams[index]
    if stream.after is None:
        return
    rows = log.rows.get(stream.channel, {})
    changes = log.changes.get(stream.channel, set())
    head = log.heads.get(stream.channel, 0)
    if stream.upto is not None:
        head = min(head, stream.upto)
    who = f"receiver {stream.receiver}, channel {stream.channel}"
    for seq in range(stream.after + 1, head + 1):
        if seq in got:
            continue
        row = rows.get(seq)
        if row is not None and row.number >= 0 and ledger.state[row.number] == ACKED:
            verdict.add("lost", f"{who}: never got message {row.number}, seq {seq}")
        elif row is None and any(first <= seq <= last for first, last in stream.gaps):
            continue  # history pages hold messages only
        elif row is None and log.is_whole and seq not in changes:
            continue  # the store has no such seq: its own fault, counted there
        else:
            verdict.add("out_of_order", f"{who}: has a hole at seq {seq}")
