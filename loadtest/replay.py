"""Real history imported, then a part of it said again live, while others listen.

FILE holds JSON lines {"channel", "time", "user", "text"}. It is imported with `storm import`, twice
(the second time must store nothing). Then some of its messages are sent by WebSocket clients, each
by a connection authenticated as its author, while listeners and a `storm tail` follow. Checked:
every listener has every message once and in order; the history by REST, unread counts and `storm
tail` agree. Exit status 1 when anything differs.
"""
# ruff: noqa: E501 lines of the report keep their width in the document

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import uvloop
from common import plot, report
from common.figures import milliseconds, percentile
from common.node import Node, make_node
from common.paths import REPORTS
from common.progress import say
from common.rest import Rest
from common.sockets import RefusedError, Socket, connect
from common.waiting import until
from storm_gateway.cli.imports.records import user_id_of

TAIL_HISTORY = 20
WAIT_SECONDS = 30.0
STEP_SECONDS = 0.25
"""Of the plot."""


class Line(msgspec.Struct):
    """One message of the file."""

    user: str
    text: str
    time: str
    channel: str = "replay"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--messages", type=int, default=2_000, help="to replay; default: 2000")
    parser.add_argument(
        "--part", choices=("first", "last"), default="first", help="of the file; default: first"
    )
    parser.add_argument("--clients", type=int, default=200, help="that send; default: 200")
    parser.add_argument("--listeners", type=int, default=50, help="default: 50")
    parser.add_argument("--rate", type=float, default=150, help="messages a second; default: 150")
    parser.add_argument(
        "--url",
        help="a gateway that runs already on this machine; its settings in STORM_JWT_SECRET and "
        "STORM_DATA_DIR (for storm import)",
    )
    parser.add_argument(
        "--about", default="", help="what the file is and its licence, for the report"
    )
    parser.add_argument(
        "--report", action="store_true", help=f"write the figures to {REPORTS.name}/replay.md"
    )
    return parser.parse_args(arguments)


class Author:
    """The connection of one author."""

    def __init__(self, replay: "Replay", name: str) -> None:
        self.replay = replay
        self.name = name
        self.waiting: dict[str, float] = {}
        """Ref → when it was sent."""
        self.socket: Socket | None = None

    async def open(self) -> None:
        node = self.replay.node
        self.socket = await connect(
            node.host, node.port, "/ws", node.token(self.name), self._on_text
        )

    def send(self, ref: str, text: str) -> None:
        assert self.socket is not None  # noqa: S101 open set it
        self.waiting[ref] = time.monotonic()
        self.socket.send(
            {"type": "message", "channel_id": self.replay.channel, "payload": text, "ref": ref}
        )

    def _on_text(self, _socket: Socket, data: bytes) -> None:
        event = msgspec.json.decode(data)
        if event["type"] == "ack":
            sent = self.waiting.pop(event["ref"])
            self.replay.acks.append((time.monotonic() - sent) * 1_000)
            self.replay.sent_at[event["seq"]] = sent
        elif event["type"] == "error":
            self.replay.fault(f"{self.name} was refused: {event}")


class Listener:
    """Joins, follows, and keeps all it gets."""

    def __init__(self, replay: "Replay", name: str) -> None:
        self.replay = replay
        self.name = name
        self.last = -1
        self.got: list[tuple[int, str, str]] = []
        self.at: list[tuple[int, float]] = []
        self.read_acks = asyncio.Event()
        self.socket: Socket | None = None

    async def open(self) -> None:
        node = self.replay.node
        self.socket = await connect(
            node.host,
            node.port,
            f"/ws?channel_id={self.replay.channel}",
            node.token(self.name),
            self._on_text,
        )

    async def read(self, seq: int) -> None:
        """Move the read cursor."""
        assert self.socket is not None  # noqa: S101 open set it
        self.read_acks.clear()
        channel = self.replay.channel
        self.socket.send({"type": "read", "channel_id": channel, "seq": seq, "ref": f"r{seq}"})
        async with asyncio.timeout(WAIT_SECONDS):
            await self.read_acks.wait()

    def _on_text(self, _socket: Socket, data: bytes) -> None:
        event = msgspec.json.decode(data)
        kind = event["type"]
        if kind == "subscribed":
            self.last = event["head"]
        elif kind == "ack":
            self.read_acks.set()
        elif kind == "error":
            self.replay.fault(f"{self.name} was refused: {event}")
        elif kind != "read" and "seq" in event:
            if event["seq"] != self.last + 1:
                self.replay.fault(f"{self.name} got {event['seq']} after {self.last}")
            self.last = event["seq"]
            if kind == "message":
                self.got.append((event["seq"], event["user_id"], event["payload"]))
                self.at.append((event["seq"], time.monotonic()))


@dataclass
class Outcome:
    """What happened."""

    faults: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)


class Replay:
    """The whole test."""

    def __init__(self, node: Node, options: argparse.Namespace, lines: Sequence[Line]) -> None:
        self.node = node
        self.options = options
        self.lines = lines
        count = options.messages
        chosen = lines[:count] if options.part == "first" else lines[-count:]
        self.chosen = [(user_id_of(line.user), line.text) for line in chosen]
        self.name = lines[0].channel if options.url is None else f"replay-{time.time_ns()}"
        self.channel = 0
        self.acks: list[float] = []
        self.sent_at: dict[int, float] = {}
        self.outcome = Outcome()
        self.listeners = [Listener(self, f"listener-{n}") for n in range(options.listeners)]
        self.pool: OrderedDict[str, Author] = OrderedDict()
        self.opened = 0
        self.shown: list[tuple[str, str]] = []
        """What ``storm tail`` showed so far."""
        self.seconds = 0.0

    def fault(self, text: str) -> None:
        """Something is not as it should be."""
        self.outcome.faults.append(text)
        if len(self.outcome.faults) <= 20:
            say(f"FAULT {text}")

    def _figure(self, name: str, value: str) -> None:
        self.outcome.figures.append((name, value))

    async def run(self) -> Outcome:
        self._import()
        with Rest(self.node.url, self.node.token("checker")) as rest:
            self.channel = int(rest.channel(self.name)["id"])
            await asyncio.gather(*(listener.open() for listener in self.listeners))
            await self._until(
                "the listeners are in", lambda: all(li.last > 0 for li in self.listeners)
            )
            head = await self._settled_head(rest)
            await asyncio.gather(*(listener.read(head) for listener in self.listeners))
            tail = await self._tail()
            following = asyncio.create_task(self._follow(tail))
            await self._until("storm tail shows history", lambda: len(self.shown) >= TAIL_HISTORY)
            try:
                await self._speak()
                await self._until(
                    "every listener has everything",
                    lambda: all(len(li.got) >= len(self.chosen) for li in self.listeners),
                )
                await asyncio.sleep(0.5)  # whatever comes twice gets the time to do so
                live = self._check_history(rest, head)
                self._check_listeners(live)
                await self._check_unread(rest, live)
                await self._check_tail(live)
            finally:
                following.cancel()
                if tail.returncode is None:
                    tail.terminate()
                await tail.wait()
        self._count(live)
        for socket in [
            *(li.socket for li in self.listeners),
            *(a.socket for a in self.pool.values()),
        ]:
            if socket is not None:
                socket.close()
        return self.outcome

    async def _until(self, what: str, done: Callable[[], bool]) -> None:
        if not await until(done, WAIT_SECONDS):
            self.fault(f"after {WAIT_SECONDS:.0f} s it is not so that {what}")

    # --- before ---

    def _import(self) -> None:
        for attempt, wanted in (("first", len(self.lines)), ("second", 0)):
            began = time.monotonic()
            done = subprocess.run(  # noqa: S603 our own program
                self.node.command("import", str(self.options.file), "--channel", self.name),
                env=self.node.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            seconds = time.monotonic() - began
            said = done.stdout.splitlines()
            say(f"{attempt} import: {said[0] if said else done.stderr[-300:]}")
            self.outcome.said += [f"$ storm import FILE --channel {self.name}", *said]
            if done.returncode:
                self.fault(
                    f"the {attempt} import ended with {done.returncode}: {done.stderr[-500:]}"
                )
            elif not said or not said[0].startswith(f"{wanted:,} messages imported"):
                self.fault(f"the {attempt} import should have stored {wanted:,} messages")
            self._figure(f"{attempt} import of {len(self.lines):,} messages", f"{seconds:.1f} s")

    async def _settled_head(self, rest: Rest) -> int:
        """The head once all joins are told."""
        head = 0
        for _ in range(100):
            head = int(rest.get(f"/channels/{self.channel}")["head"])
            if all(listener.last == head for listener in self.listeners):
                break
            await asyncio.sleep(0.1)
        return head

    async def _tail(self) -> asyncio.subprocess.Process:
        command = self.node.command(
            "tail", self.name, "--json", "-n", str(TAIL_HISTORY), "--url", self.node.url
        )
        return await asyncio.create_subprocess_exec(
            *command,
            env={**self.node.environment, "STORM_TOKEN": self.node.token("tail-reader")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1024 * 1024,
        )

    # --- the replay ---

    async def _speak(self) -> None:
        authors = list(dict.fromkeys(author for author, _ in self.chosen))
        for author in authors[: self.options.clients]:
            await self._connection(author)
        say(
            f"{len(self.pool)} clients connected; {len(self.chosen):,} messages of "
            f"{len(authors)} authors to {len(self.listeners)} listeners and storm tail"
        )
        began = time.monotonic()
        told = began
        for number, (author, text) in enumerate(self.chosen):
            await asyncio.sleep(max(0.0, began + number / self.options.rate - time.monotonic()))
            connection = await self._connection(author)
            connection.send(f"replay-{number}", text)
            if time.monotonic() - told > 2:
                told = time.monotonic()
                say(f"  {number + 1:,} sent, {len(self.acks):,} acked")
        await self._until("every message is acked", lambda: len(self.acks) >= len(self.chosen))
        self.seconds = time.monotonic() - began
        self._figure("messages sent live", f"{len(self.chosen):,}")
        self._figure("authors among them", str(len(authors)))
        self._figure("clients at once", str(len(self.pool)))
        self._figure("connections of authors, in turn", str(self.opened))
        self._figure("from the first send to the last ack", f"{self.seconds:.1f} s")

    async def _connection(self, author: str) -> Author:
        """The author's own connection; the one unused longest makes room for it."""
        found = self.pool.get(author)
        if found is None:
            while len(self.pool) >= self.options.clients:
                oldest = next(a for a in self.pool.values() if not a.waiting)
                del self.pool[oldest.name]
                if oldest.socket is not None:
                    oldest.socket.close()
            found = self.pool[author] = Author(self, author)
            await found.open()
            self.opened += 1
        self.pool.move_to_end(author)
        return found

    # --- the checks ---

    def _check_history(self, rest: Rest, head: int) -> list[tuple[int, str, str]]:
        """All history against the file; returns what was said live."""
        history = rest.history(self.channel)
        past = [message for message in history if message["seq"] <= head]
        found = [(m["user_id"], m["payload"], _moment(m["created_at"])) for m in past]
        wanted = [(user_id_of(li.user), li.text, _moment(li.time)) for li in self.lines]
        if found != wanted:
            differing = sum(a != b for a, b in zip(found, wanted, strict=False))
            self.fault(f"imported history: {len(found):,} of {len(wanted):,}, {differing:,} differ")
        live = [(m["seq"], m["user_id"], m["payload"]) for m in history if m["seq"] > head]
        if Counter(m[1:] for m in live) != Counter(self.chosen):
            self.fault(f"live history: {len(live):,} messages, not those that were said")
        if any(b[0] != a[0] + 1 for a, b in pairwise(live)):
            self.fault("live history has holes in its seqs")
        if _by_author(live) != _by_author([(0, *said) for said in self.chosen]):
            self.fault("live history: an author's messages are not in the order of saying")
        self._figure("history by REST, imported and live", f"{len(past):,} + {len(live):,}")
        return live

    def _check_listeners(self, live: list[tuple[int, str, str]]) -> None:
        wrong = [listener.name for listener in self.listeners if listener.got != live]
        for name in wrong[:5]:
            self.fault(f"{name} did not get exactly the live history")
        right = len(self.listeners) - len(wrong)
        self._figure("listeners with every message once, in order", f"{right}")

    async def _check_unread(self, rest: Rest, live: list[tuple[int, str, str]]) -> None:
        """All is unread; after reading a part, the rest is."""
        del rest
        right = 0
        for number, listener in enumerate(self.listeners):
            part = len(live) * number // len(self.listeners)
            with Rest(self.node.url, self.node.token(listener.name)) as own:
                path = f"/channels/{self.channel}"
                before = own.get(path)["unread"]
                if part:
                    await listener.read(live[part - 1][0])
                after = own.get(path)["unread"]
            if (before, after) == (len(live), len(live) - part):
                right += 1
            else:
                self.fault(f"{listener.name}: unread {before}, after reading {part}: {after}")
        self._figure("listeners with the right unread count, twice", f"{right}")

    async def _follow(self, tail: asyncio.subprocess.Process) -> None:
        assert tail.stdout is not None  # noqa: S101 asked for
        while line := await tail.stdout.readline():
            event = msgspec.json.decode(line)
            if event.get("type") == "message":
                self.shown.append((event["user_id"], event["payload"]))
        assert tail.stderr is not None  # noqa: S101 asked for
        self.fault(f"storm tail ended: {(await tail.stderr.read())[-500:]!r}")

    async def _check_tail(self, live: list[tuple[int, str, str]]) -> None:
        past = [(user_id_of(line.user), line.text) for line in self.lines[-TAIL_HISTORY:]]
        wanted = past + [message[1:] for message in live]
        await self._until("storm tail shows everything", lambda: len(self.shown) >= len(wanted))
        if self.shown != wanted:
            self.fault(f"storm tail showed {len(self.shown):,} of {len(wanted):,}, or others")
        self._figure("messages shown by storm tail, in order", f"{len(self.shown):,}")

    def _count(self, live: list[tuple[int, str, str]]) -> None:
        began = min(self.sent_at.values(), default=0.0)
        latencies: list[float] = []
        bins: Counter[int] = Counter()
        for listener in self.listeners:
            for seq, at in listener.at:
                bins[int((at - began) / STEP_SECONDS)] += 1
                if seq in self.sent_at:
                    latencies.append((at - self.sent_at[seq]) * 1_000)
        latencies.sort()
        acks = sorted(self.acks)
        self._figure("deliveries", f"{len(latencies):,} of {len(live) * len(self.listeners):,}")
        for name, found in (("ack", acks), ("delivery", latencies)):
            figures = ", ".join(
                milliseconds(percentile(found, share)) for share in (0.5, 0.95, 0.99, 1)
            )
            self._figure(f"{name}: p50, p95, p99, most, ms", figures)
        self.outcome.deliveries = [
            bins[at] / STEP_SECONDS for at in range(max(bins, default=0) + 1)
        ]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _by_author(messages: Sequence[tuple[int, str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for _, author, text in messages:
        found[author].append(text)
    return found


def page(outcome: Outcome, options: argparse.Namespace) -> str:
    """The report."""
    command = (
        f".venv/bin/python loadtest/replay.py FILE.jsonl --report --messages {options.messages} "
        f"--part {options.part} --clients {options.clients} --listeners {options.listeners} "
        f"--rate {options.rate:g}"
    )
    said = "\n".join(outcome.said)
    return f"""# Replay of real chat

Input: {options.about or "a file of JSON lines"}. All of it is imported; a second import of the same
file stores nothing. Then its {options.part} {options.messages:,} messages are said again, live, at
{options.rate:g} messages a second, each by a connection authenticated as its author: {options.clients} clients at
once, and where there are more authors, the client that was silent longest comes back as the next
one. {options.listeners} listeners and a `storm tail` follow. Checked:

- the imported history, read back by REST, has authors, texts and times of the file, in its order;
- the live history has what was said, each author's messages in the order of saying, without a hole;
- every listener got exactly that, every `seq` once, in order;
- unread counts of every listener: all of it, and after reading a part of it, the rest;
- `storm tail --json -n {TAIL_HISTORY}`, started before, shows the last {TAIL_HISTORY} of history, then all of it, in order.

{report.verdict(outcome.faults)}

{report.circumstances(command)}

{report.table(("figure", "one run"), outcome.figures)}

![Deliveries a second over the time of the replay](replay.svg)

```text
{said}
```
"""


def read_lines(path: Path) -> list[Line]:
    """All messages of the file."""
    decode = msgspec.json.Decoder(Line).decode
    with path.open("rb") as file:
        return [decode(line) for line in file if line.strip()]


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    options = parse(arguments)
    try:
        lines = read_lines(options.file)
        if len(lines) < options.messages:
            raise ValueError(f"{options.file} has only {len(lines):,} messages")  # noqa: TRY301
    except (OSError, ValueError) as error:
        say(f"cannot replay: {error}")
        return 2
    with make_node(options.url) as node:
        outcome = uvloop.run(Replay(node, options, lines).run())
        if node.said():
            say(f"the gateway said:\n{node.said()}")
    say("figures:\n" + report.table(("figure", "one run"), outcome.figures))
    if options.report:
        report.write(REPORTS / "replay.md", page(outcome, options))
        title = f"Deliveries to {options.listeners} listeners"
        drawn = plot.svg(title, "deliveries a second", STEP_SECONDS, outcome.deliveries)
        report.write(REPORTS / "replay.svg", drawn)
    say("failed" if outcome.faults else "passed")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, RefusedError, RuntimeError, TimeoutError, LookupError) as error:
        say(f"broken off: {error or type(error).__name__}")
        sys.exit(2)
