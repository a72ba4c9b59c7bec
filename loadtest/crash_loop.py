"""kill -9 under load, over and over: every acked message stays, in order, once.

Senders write to one channel, several messages ahead of their acks; the gateway is killed at a
random moment and started again on the same data; the senders come back and send again what was
not acked, with the same refs. After each start, before anybody comes back, REST says what is
there. At the end the whole history is compared with what was said. A listener resumes through all
of it. Exit status 1 when anything is missing, twice, or out of order.
"""
# ruff: noqa: E501 lines of the report keep their width in the document

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvloop
from common import report
from common.figures import median
from common.node import Node
from common.paths import REPORTS
from common.progress import say
from common.rest import Rest
from common.script import add_report, finish, make_parser
from common.sockets import RefusedError, Socket, connect
from common.waiting import until

SETTLE_SECONDS = 30.0
_SETTINGS = {
    # The load is to be the store's, not the rate limit's.
    "STORM_COMMANDS_PER_SECOND": "100000",
    "STORM_COMMANDS_BURST": "100000",
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--kills", type=int, default=20, help="default: 20")
    parser.add_argument("--senders", type=int, default=16, help="default: 16")
    parser.add_argument(
        "--ahead",
        type=int,
        default=8,
        help="messages that a sender is ahead of its acks; default: 8",
    )
    parser.add_argument("--seed", type=int, help="of the moments of the kills")
    add_report(parser, "crash-loop.md")
    return parser.parse_args(arguments)


class Sender:
    """One user who says ``<name> <number>``, numbers rising, and keeps what is not acked."""

    def __init__(self, name: str, ahead: int) -> None:
        self.name = name
        self.said = 0
        self.acked: dict[str, tuple[int, int]] = {}
        """Payload → (id, seq)."""
        self.waiting: dict[str, str] = {}
        """Ref → payload, in the order of saying."""
        self.retried = 0
        self.refused: Counter[str] = Counter()
        self.faults: list[str] = []
        self.socket: Socket | None = None
        self.speaking = True
        self._ahead = ahead
        self._channel = 0

    async def open(self, node: Node, channel: int) -> None:
        """Connect. What waits is sent again first, then the rest goes on."""
        self._channel = channel
        self.socket = await connect(
            node.host, node.port, "/ws", node.token(self.name), self._on_text
        )
        self.retried += len(self.waiting)
        for ref, payload in self.waiting.items():
            self._write(ref, payload)
        self._pump()

    def _pump(self) -> None:
        while self.speaking and len(self.waiting) < self._ahead:
            self.said += 1
            ref, payload = f"{self.name}-{self.said}", f"{self.name} {self.said}"
            self.waiting[ref] = payload
            self._write(ref, payload)

    def _write(self, ref: str, payload: str) -> None:
        assert self.socket is not None  # noqa: S101 open set it
        self.socket.send(
            {"type": "message", "channel_id": self._channel, "payload": payload, "ref": ref}
        )

    def _on_text(self, socket: Socket, data: bytes) -> None:
        event = msgspec.json.decode(data)
        if event["type"] == "ack":
            payload = self.waiting.pop(event["ref"], None)
            if payload is None:
                self.faults.append(f"{event['ref']} was acked twice on one connection")
                return
            self.acked[payload] = (event["id"], event["seq"])
            self._pump()
        elif event["type"] == "error":
            self.refused[event["code"]] += 1
            ref = event.get("ref")
            if ref in self.waiting:  # for example 'unavailable': again, a little later
                asyncio.get_running_loop().call_later(0.1, self._again, socket, ref)

    def _again(self, socket: Socket, ref: str) -> None:
        if socket is self.socket and ref in self.waiting:
            self.retried += 1
            self._write(ref, self.waiting[ref])


class Listener:
    """Receives the channel through all crashes, resuming after the last seq."""

    def __init__(self) -> None:
        self.got: dict[int, str] = {}
        self.last = 0
        self.faults: list[str] = []
        self.gaps = 0
        self.socket: Socket | None = None

    async def open(self, node: Node, channel: int) -> None:
        """Connect and resume."""
        self.socket = await connect(
            node.host, node.port, "/ws", node.token("listener"), self._on_text
        )
        self.socket.send({"type": "subscribe", "channel_id": channel, "since": self.last})

    def _on_text(self, _socket: Socket, data: bytes) -> None:
        event = msgspec.json.decode(data)
        if event["type"] == "subscribed" and "gap" in event:
            self.gaps += 1
            self.last = event["gap"]["to"]
        elif "seq" in event:
            if event["seq"] != self.last + 1:
                self.faults.append(f"the listener got {event['seq']} after {self.last}")
            self.last = event["seq"]
            if event["type"] == "message":
                self.got[event["seq"]] = event["payload"]


@dataclass
class Round:
    """One life of the gateway and its end."""

    acked: int = 0
    unknown: int = 0
    stored: int = 0
    seconds: float = 0.0
    restart: float = 0.0


@dataclass
class Outcome:
    """What happened."""

    rounds: list[Round] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    said: int = 0
    retried: int = 0
    history: int = 0
    gaps: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Loop:
    """The whole test."""

    def __init__(self, node: Node, options: argparse.Namespace) -> None:
        self.node = node
        self.options = options
        self.random = random.Random(options.seed)  # noqa: S311 moments, not secrets
        self.senders = [Sender(f"sender-{n}", options.ahead) for n in range(options.senders)]
        self.listener = Listener()
        self.outcome = Outcome()
        self.channel = 0
        self.history: list[dict[str, Any]] = []

    async def run(self) -> Outcome:
        with self._rest() as rest:
            self.channel = rest.make_channel("crashes")
        await self._open_all()
        for number in range(1, self.options.kills + 1):
            await self._round(number)
        await self._finish()
        return self.outcome

    def _rest(self) -> Rest:
        return Rest(self.node.url, self.node.token("checker"))

    async def _open_all(self) -> None:
        await self.listener.open(self.node, self.channel)
        for sender in self.senders:
            await sender.open(self.node, self.channel)

    async def _round(self, number: int) -> None:
        found = Round()
        before = self._acked()
        began = time.monotonic()
        await asyncio.sleep(self.random.uniform(0.3, 1.2))
        self.node.kill()
        found.seconds = time.monotonic() - began
        # What the kernel still holds of acks was sent before the end: it counts as acked.
        sockets = [sender.socket for sender in self.senders] + [self.listener.socket]
        await asyncio.gather(*(socket.ended.wait() for socket in sockets if socket is not None))
        found.acked = self._acked() - before
        unknown = {payload for sender in self.senders for payload in sender.waiting.values()}
        found.unknown = len(unknown)
        found.restart = await asyncio.to_thread(self.node.start)
        await asyncio.to_thread(self._read_on)
        self._check_acked(f"after kill {number}")
        found.stored = len(unknown & {message["payload"] for message in self.history})
        self.outcome.rounds.append(found)
        say(
            f"kill {number:2}: {found.acked:6,} acked in {found.seconds:.1f} s, all there; "
            f"{found.unknown:3} without an ack, {found.stored:3} of them stored; "
            f"ready again in {found.restart:.1f} s"
        )
        await self._open_all()

    def _read_on(self) -> None:
        with self._rest() as rest:
            after = self.history[-1]["seq"] if self.history else 0
            self.history += rest.history(self.channel, after)

    def _acked(self) -> int:
        return sum(len(sender.acked) for sender in self.senders)

    def _check_acked(self, when: str) -> None:
        """Every acked message is in the history at its seq, with its id."""
        there = {message["payload"]: (message["id"], message["seq"]) for message in self.history}
        for sender in self.senders:
            for payload, place in sender.acked.items():
                if there.get(payload) != place:
                    self._fault(
                        f"{when}: {payload!r} was acked as (id, seq) {place}; "
                        f"the history has {there.get(payload)}"
                    )

    def _fault(self, text: str) -> None:
        self.outcome.faults.append(text)
        if len(self.outcome.faults) <= 20:
            say(f"FAULT {text}")

    async def _finish(self) -> None:
        """Everything said is acked in the end; then the history is looked at as a whole."""
        for sender in self.senders:
            sender.speaking = False
        await until(lambda: not any(sender.waiting for sender in self.senders), SETTLE_SECONDS)
        await asyncio.to_thread(self._read_on)
        head = self.history[-1]["seq"] if self.history else 0
        await until(lambda: self.listener.last >= head, SETTLE_SECONDS)
        self._check_acked("at the end")
        self._check_history(head)
        outcome = self.outcome
        outcome.said = sum(sender.said for sender in self.senders)
        outcome.retried = sum(sender.retried for sender in self.senders)
        outcome.history = len(self.history)
        outcome.gaps = self.listener.gaps
        for sender in self.senders:
            outcome.refused += sender.refused
            outcome.faults += sender.faults
            if sender.waiting:
                self._fault(f"{sender.name} never got an ack of {list(sender.waiting)[:3]}")
            if sender.socket is not None:
                sender.socket.close()
        if self.listener.socket is not None:
            self.listener.socket.close()

    def _check_history(self, head: int) -> None:
        seen = Counter(message["payload"] for message in self.history)
        for payload, times in seen.items():
            if times > 1:
                self._fault(f"{payload!r} is in the history {times} times")
        seqs = [message["seq"] for message in self.history]
        if seqs != sorted(set(seqs)):
            self._fault("the seqs of the history do not rise")
        for sender in self.senders:
            own = [m["payload"] for m in self.history if m["user_id"] == sender.name]
            if own != [f"{sender.name} {n}" for n in range(1, len(own) + 1)]:
                self._fault(f"{sender.name}'s messages are not in the order of saying")
            if len(own) != sender.said:
                self._fault(f"{sender.name} said {sender.said}, the history has {len(own)}")
        self.outcome.faults += self.listener.faults
        if self.listener.last < head:
            self._fault(f"the listener has {self.listener.last} of {head}")
        differing = sum(
            self.listener.got.get(m["seq"], m["payload"]) != m["payload"] for m in self.history
        )
        if differing:
            self._fault(f"{differing} messages reached the listener at another seq than REST says")


def tables(outcome: Outcome) -> str:
    """The figures."""
    rounds = outcome.rounds
    rate = sum(r.acked for r in rounds) / max(0.001, sum(r.seconds for r in rounds))
    stored = sum(r.stored for r in rounds)
    totals = report.table(
        ("figure", "all", "median of a kill"),
        [
            ("kills", len(rounds), ""),
            ("messages said", f"{outcome.said:,}", ""),
            ("acked before a kill", f"{sum(r.acked for r in rounds):,}",
             f"{median(r.acked for r in rounds):,.0f}"),
            ("acked a second, between the kills", f"{rate:,.0f}", ""),
            ("without an ack at a kill (unknown)", f"{sum(r.unknown for r in rounds):,}",
             f"{median(r.unknown for r in rounds):,.0f}"),
            ("of these stored before the kill", f"{stored:,}", ""),
            ("sent again with the same ref", f"{outcome.retried:,}", ""),
            ("in the history at the end", f"{outcome.history:,}", ""),
            ("refused for a while", f"{sum(outcome.refused.values()):,}", ""),
            ("gaps told to the listener", f"{outcome.gaps:,}", ""),
            ("from start to ready, s", "", f"{median(r.restart for r in rounds):.2f}"),
        ],
    )  # fmt: skip
    each = report.table(
        ("kill", "load, s", "acked", "unknown", "of them stored", "ready again, s"),
        [
            (n, f"{r.seconds:.2f}", f"{r.acked:,}", r.unknown, r.stored, f"{r.restart:.2f}")
            for n, r in enumerate(rounds, start=1)
        ],
    )
    return f"{totals}\n\n{each}"


def page(outcome: Outcome, options: argparse.Namespace) -> str:
    """The report."""
    command = (
        f".venv/bin/python loadtest/crash_loop.py --report --kills {options.kills} "
        f"--senders {options.senders} --ahead {options.ahead}"
    )
    return f"""# Killed {options.kills} times under load

{options.senders} users write to one channel, each {options.ahead} messages ahead of its acks. `kill -9` ends the gateway
at a random moment (0.3 to 1.2 s after everybody is back), it starts again on the same data, and
the users send again what was not acked, with the same `ref`. Checked: after each start, before
anybody is back, REST has every message acked so far, under the acked `id` and `seq`; at the end
the history has every message that was said, once, each user's in the order of saying; and a
listener that resumed with `since` after each kill got every `seq` once, in order. The rate limit
of commands was set out of the way; everything else as it comes.

This is the death of the process, not of the machine: what the kernel has, it keeps. What survives
a power cut rests on `synchronous=FULL`, which this does not show.

{report.verdict(outcome.faults)}

{report.circumstances(command)}

{tables(outcome)}

*Unknown*: written by the client, no ack received when the gateway died. Some of them were stored
(the ack was lost), the others were not. Sent again, both kinds end up in the history once.
"""


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    options = parse(arguments)
    say(f"{options.kills} kills: about {options.kills * 3 + 5} s")
    with Node(_SETTINGS) as node:
        outcome = uvloop.run(Loop(node, options).run())
        if node.said():
            say(f"the gateway said:\n{node.said()}")
    say("figures:\n" + tables(outcome))
    if options.report:
        report.write(REPORTS / "crash-loop.md", page(outcome, options))
    return finish(outcome.faults)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, RefusedError, RuntimeError) as error:
        say(f"broken off: {error}")
        sys.exit(2)
