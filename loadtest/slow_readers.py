"""1,000 connections, 10 % of them stop reading: who suffers, what it costs, what is lost.

Runs without (A) and with (B) slow readers take turns: A B A B A B. Exit status 1 when the p99 of
the others more than doubles, the gateway's memory grows by more than the bound of the outboxes, a
slow reader is not closed with 4001, or anybody misses an event or gets one twice.
"""
# ruff: noqa: E501 lines of the report keep their width in the document

import argparse
import asyncio
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop
from common import memory, report
from common.figures import mebibytes, median, milliseconds, percentile
from common.node import Node, make_node
from common.paths import REPORTS
from common.progress import say
from common.rest import Rest
from common.sockets import RefusedError, Socket, connect
from common.waiting import until

OUTBOX_BYTES = 1024 * 1024
"""The default of STORM_OUTBOX_CLOSE_BYTES; set explicitly, so that both sides agree."""
RECEIVE_BUFFER = 4_096
SENDERS = 10
SHARE = 0.1
PATIENCE_SECONDS = 3.0
"""After the first close, slow readers read again: the close frame waits 5 s for its answer."""
RETURN_SECONDS = 8.0
WARM_SECONDS = 3.0
_SAMPLE_SECONDS = 0.25
_CONNECTING_AT_ONCE = 50


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=1_000, help="default: 1000")
    parser.add_argument("--rate", type=float, default=24, help="messages a second; default: 24")
    parser.add_argument("--payload", type=int, default=3_900, help="characters; default: 3900")
    parser.add_argument(
        "--seconds", type=float, default=40, help="longest wait for the closes; default: 40"
    )
    parser.add_argument("--runs", type=int, default=3, help="of each kind; default: 3")
    parser.add_argument(
        "--url",
        help="a gateway that runs already (its secret in STORM_JWT_SECRET): without memory figures",
    )
    parser.add_argument(
        "--report", action="store_true", help=f"write the figures to {REPORTS.name}/slow-readers.md"
    )
    return parser.parse_args(arguments)


class Reader:
    """A user who follows the channel."""

    __slots__ = ("closes", "last", "lost", "name", "repeated", "run", "slow", "socket")

    def __init__(self, run: "Run", name: str, slow: bool) -> None:
        self.run = run
        self.name = name
        self.slow = slow
        self.socket: Socket | None = None
        self.last = -1
        self.lost = 0
        self.repeated = 0
        self.closes: list[int] = []

    async def open(self) -> None:
        """Connect; the first time join, later resume."""
        node, channel = self.run.node, self.run.channel
        first = self.last < 0
        self.socket = await connect(
            node.host,
            node.port,
            f"/ws?channel_id={channel}" if first else "/ws",
            node.token(self.name),
            self.on_text,
            self.on_closed,
            receive_buffer=RECEIVE_BUFFER if self.slow and first else 0,
        )
        if not first:
            self.socket.send({"type": "subscribe", "channel_id": channel, "since": self.last})

    def on_text(self, _socket: Socket, data: bytes) -> None:
        # Looked for, not decoded: 24,000 of these a second share a core with the gateway.
        at = data.rfind(b'"seq":')
        if at < 0:
            if data.startswith(b'{"type":"subscribed"'):
                at = data.rfind(b'"head":') + 7
                if self.last < 0:
                    self.last = int(data[at:].split(b",")[0].rstrip(b"}"))
                if b'"gap"' in data:
                    self.lost += 1
            return
        seq = int(data[at + 6 :].split(b",")[0].rstrip(b"}"))
        if seq <= self.last:
            self.repeated += 1
            return
        self.lost += seq - self.last - 1
        self.last = seq
        latencies = self.run.latencies
        if latencies is not None and not self.slow:
            at = data.find(b'"payload":"')
            if at > 0:
                sent = int(data[at + 11 : at + 27])
                latencies.append((time.monotonic_ns() // 1_000 - sent) / 1_000)

    def on_closed(self, socket: Socket) -> None:
        self.closes.append(socket.close_code)


@dataclass
class Result:
    """The figures of one run."""

    slow: bool
    during: list[float] = field(default_factory=list)
    """Latencies in ms, sorted, while the slow ones did not read."""
    back: list[float] = field(default_factory=list)
    """While they came back."""
    slow_commits: float = 0.0
    """Commits of more than 100 ms in all of the run."""
    messages: int = 0
    window: float = 0.0
    pss_before: int = 0
    pss_growth: int = 0
    kernel_send: int = 0
    kernel_growth: int = 0
    outbox: float = 0.0
    cpu: float = 0.0
    closed: int = 0
    saw: int = 0
    resumed: int = 0
    lost: int = 0
    repeated: int = 0
    short: int = 0


class Run:
    """One run of one kind."""

    def __init__(self, node: Node, options: argparse.Namespace, slow: bool) -> None:
        self.node = node
        self.options = options
        self.result = Result(slow)
        self.channel = 0
        self.latencies: list[float] | None = None
        self.sending = True
        self._slow_at_first = 0.0
        count = options.connections
        every = round(1 / SHARE)
        # The same connections are the slow ones in A, where they read: the same socket options,
        # the same places among the others.
        self.readers = [Reader(self, f"reader-{n}", n % every == 0) for n in range(count)]
        self.slow = [reader for reader in self.readers if reader.slow]

    async def run(self) -> Result:
        result = self.result
        with Rest(self.node.url, self.node.token("owner")) as rest:
            self.channel = rest.make_channel(f"slow-{time.monotonic_ns()}")
            at_first = await asyncio.to_thread(rest.metrics)
            self._slow_at_first = at_first.get(_CLOSED, 0)
            result.slow_commits = -_slow_commits(at_first)
            await self._open_all()
            senders = [asyncio.create_task(self._send(n)) for n in range(SENDERS)]
            await asyncio.sleep(WARM_SECONDS)
            result.pss_before = memory.pss(self.node.pid) if self.node.pid else 0
            kernel_before = memory.tcp_memory()
            cpu = memory.cpu_seconds(self.node.pid) if self.node.pid else 0.0
            began = time.monotonic()
            if result.slow:
                for reader in self.slow:
                    if reader.socket is not None:
                        reader.socket.transport.pause_reading()
            self.latencies = result.during
            await self._watch(rest, kernel_before)
            result.window = time.monotonic() - began
            if self.node.pid:
                result.cpu = (memory.cpu_seconds(self.node.pid) - cpu) / result.window
            self.latencies = result.back
            await asyncio.gather(*(self._come_back(reader) for reader in self.slow))
            await asyncio.sleep(max(0.0, began + result.window + RETURN_SECONDS - time.monotonic()))
            self.latencies = None
            self.sending = False
            result.messages = sum(await asyncio.gather(*senders))
            await self._finish(rest)
        return result

    async def _open_all(self) -> None:
        gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def one(reader: Reader) -> None:
            async with gate:
                await reader.open()

        await asyncio.gather(*(one(reader) for reader in self.readers))
        if not await until(lambda: all(reader.last >= 0 for reader in self.readers), 30):
            raise TimeoutError("not everybody was subscribed within 30 s")

    async def _send(self, number: int) -> int:
        """A tenth of the messages, evenly; returns how many."""
        node = self.node
        said = 0
        socket = await connect(
            node.host, node.port, "/ws", node.token(f"sender-{number}"), lambda *_: None
        )
        pause = SENDERS / self.options.rate
        due = time.monotonic() + pause * number / SENDERS
        filler = "x" * (self.options.payload - 16)
        while self.sending:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += pause
            said += 1
            payload = f"{time.monotonic_ns() // 1_000:016}{filler}"
            socket.send(
                {
                    "type": "message",
                    "channel_id": self.channel,
                    "payload": payload,
                    "ref": f"{number}-{said}",
                }
            )
        await asyncio.sleep(0.5)
        socket.close()
        return said

    async def _watch(self, rest: Rest, kernel_before: int) -> None:
        """Sample until the slow ones are closed; in a run without them about as long."""
        result = self.result
        seconds = self.options.seconds if result.slow else self.options.seconds / 2
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            await asyncio.sleep(_SAMPLE_SECONDS)
            found = await asyncio.to_thread(self._sample, rest)
            result.kernel_growth = max(result.kernel_growth, memory.tcp_memory() - kernel_before)
            closed = int(found.get(_CLOSED, 0) - self._slow_at_first)
            if closed and not result.closed:
                last = min(last, time.monotonic() + PATIENCE_SECONDS)
            result.closed = closed
            if result.slow and closed >= len(self.slow):
                return

    def _sample(self, rest: Rest) -> dict[str, float]:
        result = self.result
        if self.node.pid:
            growth = memory.pss(self.node.pid) - result.pss_before
            result.pss_growth = max(result.pss_growth, growth)
        result.kernel_send = max(result.kernel_send, memory.send_queues(self.node.port))
        found = rest.metrics()
        result.outbox = max(result.outbox, found.get("storm_outbox_bytes", 0))
        return found

    async def _come_back(self, reader: Reader) -> None:
        """Read on: what the kernel kept, the close, then resume as every client does."""
        if not self.result.slow or reader.socket is None:
            return
        reader.socket.transport.resume_reading()
        try:
            async with asyncio.timeout(RETURN_SECONDS / 2):
                await reader.socket.ended.wait()
        except TimeoutError:
            return  # never closed: counted by its absence
        await asyncio.sleep(random.uniform(0, 0.5))  # noqa: S311 the backoff of the protocol
        await reader.open()
        self.result.resumed += 1

    async def _finish(self, rest: Rest) -> None:
        result = self.result
        head = int((await asyncio.to_thread(rest.get, f"/channels/{self.channel}"))["head"])
        await until(lambda: all(reader.last >= head for reader in self.readers), 15)
        at_last = await asyncio.to_thread(rest.metrics)
        result.closed = int(at_last.get(_CLOSED, 0) - self._slow_at_first)
        result.slow_commits += _slow_commits(at_last)
        result.saw = sum(4001 in reader.closes for reader in self.readers)
        result.lost = sum(reader.lost for reader in self.readers)
        result.repeated = sum(reader.repeated for reader in self.readers)
        result.short = sum(reader.last < head for reader in self.readers)
        result.during.sort()
        result.back.sort()
        for reader in self.readers:
            if reader.socket is not None:
                reader.socket.close()
        await asyncio.sleep(0.5)


_CLOSED = "storm_slow_consumers_closed_total"


def _slow_commits(metrics: dict[str, float]) -> float:
    name = "storm_commit_duration_seconds"
    return metrics.get(f"{name}_count", 0) - metrics.get(f'{name}_bucket{{le="0.1"}}', 0)


def faults_of(results: list[Result], slow: int, own: bool) -> list[str]:
    """What is not as it should be."""
    faults = []
    with_slow = [result for result in results if result.slow]
    without = [result for result in results if not result.slow]
    before = median(percentile(result.during, 0.99) for result in without)
    after = median(percentile(result.during, 0.99) for result in with_slow)
    if not after <= 2 * before:
        faults.append(f"p99 of the others went from {before:.1f} to {after:.1f} ms")
    for number, result in enumerate(results, start=1):
        wanted = slow if result.slow else 0
        if (result.closed, result.saw, result.resumed) != (wanted, wanted, wanted):
            faults.append(
                f"run {number}: of {wanted} slow readers {result.closed} were closed, "
                f"{result.saw} saw 4001, {result.resumed} came back"
            )
        if result.lost or result.repeated or result.short:
            faults.append(
                f"run {number}: {result.lost} events lost, {result.repeated} twice, "
                f"{result.short} connections behind at the end"
            )
        if own and result.pss_growth > slow * OUTBOX_BYTES:
            faults.append(f"run {number}: memory grew by {mebibytes(result.pss_growth)} MiB")
    return faults


def tables(results: list[Result]) -> str:
    """The figures of each run, and the medians of both kinds."""
    ordered = sorted(results, key=lambda result: result.slow)
    kinds = [[r for r in results if not r.slow], [r for r in results if r.slow]]
    head = ["figure"]
    head += [f"{'B' if r.slow else 'A'}{n % len(kinds[0]) + 1}" for n, r in enumerate(ordered)]
    head += ["median A", "median B"]
    rows: list[list[str]] = []
    for name, show, of in _ROWS:
        cells = [*(of(r) for r in ordered), *(median(of(r) for r in kind) for kind in kinds)]
        rows.append([name, *(show(cell) for cell in cells)])
    return report.table(head, rows)


def _count(value: float) -> str:
    return f"{value:,.0f}"


_ROWS: list[tuple[str, Callable[[float], str], Callable[[Result], float]]] = [
    ("others: p50 while 10 % do not read, ms", milliseconds, lambda r: percentile(r.during, 0.5)),
    ("others: p99 while 10 % do not read, ms", milliseconds, lambda r: percentile(r.during, 0.99)),
    ("others: most, ms", milliseconds, lambda r: percentile(r.during, 1)),
    ("others: p50 while they come back, ms", milliseconds, lambda r: percentile(r.back, 0.5)),
    ("others: p99 while they come back, ms", milliseconds, lambda r: percentile(r.back, 0.99)),
    ("deliveries measured", _count, lambda r: len(r.during)),
    ("commits of more than 100 ms", _count, lambda r: r.slow_commits),
    ("window, s", milliseconds, lambda r: r.window),
    ("gateway, share of a core, %", milliseconds, lambda r: r.cpu * 100),
    ("gateway PSS before, MiB", mebibytes, lambda r: r.pss_before),
    ("gateway PSS growth, MiB", mebibytes, lambda r: r.pss_growth),
    ("outboxes by the gateway's count, most, MiB", mebibytes, lambda r: r.outbox),
    ("kernel: gateway's send queues, most, MiB", mebibytes, lambda r: r.kernel_send),
    ("kernel: growth of all TCP memory, both ends, MiB", mebibytes, lambda r: r.kernel_growth),
    ("slow readers closed (metric)", _count, lambda r: r.closed),
    ("of them saw close code 4001", _count, lambda r: r.saw),
    ("of them resumed", _count, lambda r: r.resumed),
    ("events lost", _count, lambda r: r.lost),
    ("events twice", _count, lambda r: r.repeated),
    ("connections behind the head at the end", _count, lambda r: r.short),
]


def page(results: list[Result], options: argparse.Namespace, faults: list[str]) -> str:
    """The report."""
    slow = round(options.connections * SHARE)
    command = (
        f".venv/bin/python loadtest/slow_readers.py --report --connections {options.connections} "
        f"--rate {options.rate:g} --payload {options.payload} --runs {options.runs}"
    )
    return f"""# Slow readers: {slow} of {options.connections} connections do not read

{options.connections} connections follow one public channel in which {SENDERS} users say {options.rate:g} messages of
{options.payload} characters a second. In the runs B, after {WARM_SECONDS:g} s in which all read, {slow} connections
stop reading. Their sockets have a receive buffer of {RECEIVE_BUFFER} bytes, so that what they do not read
soon waits in the gateway. {PATIENCE_SECONDS:g} s after the first of them is closed (or when all are) they read
on, find close code 4001, wait a random time up to 0.5 s, and resume with `since`. In the runs A the
same connections read like all others. The runs take turns (A B A B …), each with a gateway of its
own on default settings; client and gateway share the machine, and the client is one process of
Python, so the latencies contain its share too (in A and B alike).

Asked for: the p99 of the others (median of the runs) at most doubles; the gateway's memory grows by
no more than {slow} outboxes of 1 MiB; all slow ones are closed with 4001, resume, and nobody misses
an event or gets one twice.

{report.verdict(faults)}

{report.circumstances(command)}

{tables(results)}

*Latency*: from writing the message to having it in the receiving process, over all connections that
read. A message is delivered
after its commit, so a disk that stalls (see *commits of more than 100 ms*) delays all. *PSS growth*: the most that the gateway had above what it had before, sampled every
{_SAMPLE_SECONDS:g} s. It is far below the count of the outboxes because a backlog holds references to
frames that all connections share. *Kernel*: what the kernel keeps for slow sockets comes on top; it
is bounded by its own settings and by `TCP_NOTSENT_LOWAT`, which the gateway sets.
"""


async def measure(options: argparse.Namespace, slow: bool) -> Result:
    """One run on a gateway of its own."""
    settings = {"STORM_OUTBOX_CLOSE_BYTES": str(OUTBOX_BYTES)}
    with make_node(options.url, settings) as node:
        result = await Run(node, options, slow).run()
        if node.said():
            say(f"the gateway said:\n{node.said()}")
    return result


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    options = parse(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results: list[Result] = []
    for number in range(1, options.runs + 1):
        for slow in (False, True):
            kind = "B, 10 % do not read" if slow else "A, all read"
            say(f"run {number} of {options.runs}, {kind}: up to {options.seconds + 20:.0f} s")
            result = uvloop.run(measure(options, slow))
            say(
                f"  others p50 {percentile(result.during, 0.5):.1f} ms, "
                f"p99 {percentile(result.during, 0.99):.1f} ms; "
                f"PSS +{mebibytes(result.pss_growth)} MiB; {result.closed} closed, "
                f"{result.resumed} resumed, {result.lost} lost"
            )
            results.append(result)
    faults = faults_of(results, round(options.connections * SHARE), options.url is None)
    say("figures:\n" + tables(results))
    if options.report:
        report.write(REPORTS / "slow-readers.md", page(results, options, faults))
    for fault in faults:
        say(f"FAULT {fault}")
    say("failed" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, RefusedError, RuntimeError, TimeoutError) as error:
        say(f"broken off: {error or type(error).__name__}")
        sys.exit(2)
