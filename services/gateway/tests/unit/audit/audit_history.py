"""Histories made by hand: who tried what, what is stored, who received it; clean, to be harmed.

The order of arrivals is kept as plain lists, so that a test can lose, double or swap one of them
before the ledger is written.
"""

from dataclasses import dataclass, field
from typing import Any

from storm_gateway.audit.ledger import CHANGE, Ledger, Stored, StoredMessage, checksum
from storm_gateway.audit.texts import Texts

RUN = "t"


@dataclass
class Arrival:
    """One durable event as one receiver gets it."""

    seq: int
    id: int
    author: str
    payload: str
    generation: int = 1
    change: bool = False


@dataclass
class Receiver:
    """One receiver of one channel."""

    channel: int
    after: int | None
    arrivals: list[Arrival] = field(default_factory=list)
    upto: int | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Row:
    """A message in the store."""

    seq: int
    id: int
    author: str
    payload: str


@dataclass
class Sent:
    """One attempt and what its sender heard."""

    sender: str
    channel: int
    acks: list[tuple[int, int]] = field(default_factory=list)
    refused: bool = False


@dataclass
class History:
    """Everything that a ledger and a store would hold."""

    sent: list[Sent] = field(default_factory=list)
    rows: dict[int, list[Row]] = field(default_factory=dict)
    changes: dict[int, set[int]] | None = field(default_factory=dict)
    receivers: list[Receiver] = field(default_factory=list)
    texts: Texts = field(default_factory=lambda: Texts(RUN, 60))

    def send(self, sender: str, channel: int) -> Sent:
        """A message that is stored and acknowledged."""
        number = len(self.sent)
        row = Row(self.head(channel) + 1, 1_000 + number, sender, self.texts.text(number))
        self.rows.setdefault(channel, []).append(row)
        self.sent.append(Sent(sender, channel, [(row.id, row.seq)]))
        return self.sent[-1]

    def change(self, channel: int) -> None:
        """A durable event that is no message."""
        assert self.changes is not None
        self.rows.setdefault(channel, [])
        self.changes.setdefault(channel, set()).add(self.head(channel) + 1)

    def head(self, channel: int) -> int:
        changes = (self.changes or {}).get(channel, set())
        return max([*(row.seq for row in self.rows.get(channel, ())), *changes], default=0)

    def receiver(self, channel: int, after: int = 0, cuts: tuple[int, ...] = ()) -> Receiver:
        """Someone who got everything after a seq; ``cuts``: reconnected after those."""
        receiver = Receiver(channel, after)
        rows = {row.seq: row for row in self.rows.get(channel, ())}
        for seq in range(after + 1, self.head(channel) + 1):
            generation = 1 + sum(cut < seq for cut in cuts)
            row = rows.get(seq)
            receiver.arrivals.append(
                Arrival(seq, 0, "", "", generation, change=True)
                if row is None
                else Arrival(seq, row.id, row.author, row.payload, generation)
            )
        self.receivers.append(receiver)
        return receiver

    # --- as the judge takes it ---

    def ledger(self) -> Ledger:
        ledger = Ledger(self.texts)
        places: dict[str, int] = {}
        for sent in self.sent:
            if sent.sender not in places:
                places[sent.sender] = ledger.add_sender(sent.sender)
            number = ledger.attempt(places[sent.sender], sent.channel, 0.0)
            for id_, seq in sent.acks:
                ledger.ack(number, id_, seq, 0.0)
            if sent.refused:
                ledger.refuse(number, "forbidden")
        for index, receiver in enumerate(self.receivers):
            stream = ledger.add_stream(index, receiver.channel)
            if receiver.after is not None:
                ledger.entitle(stream, receiver.after)
            ledger.streams[stream].upto = receiver.upto
            ledger.streams[stream].gaps = receiver.gaps
            for each in receiver.arrivals:
                number, print_ = (
                    (CHANGE, 0)
                    if each.change
                    else ledger.identify(receiver.channel, each.author, each.payload)
                )
                at = ledger.receive(stream, each.generation, each.seq, each.id, number, 0.0)
                if print_:
                    ledger.prints[at] = print_
        return ledger

    def stored(self, ledger: Ledger) -> Stored:
        def message(channel: int, row: Row) -> StoredMessage:
            number, print_ = ledger.identify(channel, row.author, row.payload)
            assert (number == -1) == bool(print_)
            assert not print_ or print_ == checksum(row.author, row.payload)
            return StoredMessage(row.seq, row.id, number, print_)

        return Stored(
            {
                channel: [message(channel, row) for row in rows]
                for channel, rows in self.rows.items()
            },
            self.changes,
        )

    def counts(self) -> dict[str, Any]:
        """What the judge finds wrong: kind → count, zeros left out."""
        from storm_gateway.audit.verdict import judge

        ledger = self.ledger()
        verdict = judge(ledger, self.stored(ledger))
        kinds = ("lost", "duplicated", "out_of_order", "phantom", "unknown", "disagreements")
        found = {kind: getattr(verdict, kind) for kind in kinds if getattr(verdict, kind)}
        assert verdict.is_clean == (not found)
        assert len(verdict.examples) == min(sum(found.values()), len(verdict.examples))
        return found
