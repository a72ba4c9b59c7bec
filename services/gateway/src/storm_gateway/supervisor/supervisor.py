"""Keeps N nodes running on one address: restarts what dies, replaces all, ends all."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

import structlog

from storm_gateway.config import Config, host_and_port
from storm_gateway.connections.listeners import Listeners
from storm_gateway.observability.allocator import environment
from storm_gateway.supervisor.addresses import Address
from storm_gateway.supervisor.node import NodeProcess

log = structlog.get_logger("storm.supervisor")

PROGRAM = (sys.executable, "-m", "storm_gateway", "serve", "--supervised")
"""Ends with the option whose value are the passed descriptors."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Times of a supervisor, seconds."""

    first_pause: float = 0.5
    longest_pause: float = 30.0
    lived_well: float = 60.0
    """A node that lived so long is restarted as quickly as one that dies for the first time."""
    to_be_ready: float = 60.0
    """A successor that is not ready by then has failed. The first nodes may take longer: they
    may have a large database to migrate."""
    after_drain: float = 30.0
    """A node that has not ended by then, after its drain, is killed."""
    in_a_hurry: float = 10.0
    to_lend: float = 5.0
    """A node that does not hand its sockets to its successor by then is frozen."""


@dataclass
class Slot:
    """The place of one node: its name and addresses stay when the process changes."""

    name: str
    own: Address
    node: NodeProcess | None = None
    down: bool = False
    """Its node ended by itself, and none is ready yet in its place."""
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the process changes: by a restart or by a rolling one, not by both."""


class Supervisor:
    """Runs until SIGTERM or SIGINT. :meth:`run` may be called once."""

    def __init__(
        self,
        config: Config,
        count: int,
        *,
        program: Sequence[str] = PROGRAM,
        patience: Patience | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``tell`` hears in a sentence, besides the log, which node ended by itself and why, and
        that it is back. Raises ``OSError``, with a sentence as its text, when an address is taken.
        """
        self._config = config
        self._program = program
        self._patience = patience or Patience()
        self._tell = tell
        name = config.node_name or socket.gethostname()
        with contextlib.ExitStack() as given_back:
            self.service = given_back.enter_context(Address(config.host, config.port))
            self._slots = [
                Slot(f"{name}-{number}", given_back.enter_context(Address(*own)))
                for number, own in enumerate(_own_addresses(config, count), start=1)
            ]
            self._addresses = given_back.pop_all()
        self._processes: set[NodeProcess] = set()
        self._ending = asyncio.Event()
        self._hurried = False
        self._status = 0
        self._ever_ready = False
        self._work: set[asyncio.Task[None]] = set()
        self._rolling = False
        self._roll_again = False
        self._has_terminal = _has_terminal()
        self._allocator = environment(config.allocator, os.environ)

    async def run(self) -> int:
        """Start all, and end with them; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(self._keep(slot))
            for task in list(self._work):
                await task
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
            self._addresses.close()
        if not self._status:
            log.info("ended")
        return self._status

    # --- what it is told ---

    def end(self) -> None:
        """Let all nodes drain and end; a second call lets them hurry."""
        if self._ending.is_set():
            self._hurried = True
            for process in self._processes:
                process.hurry()
            return
        log.info("all nodes drain and end", nodes=len(self._processes))
        self._ending.set()
        for process in self._processes:
            process.end()

    def roll(self) -> None:
        """Replace every node by a new one, one after another."""
        if self._rolling:
            # Something changed since the first ones were replaced.
            self._roll_again = True
        elif not self._ending.is_set():
            self._rolling = True
            self._spawn(self._roll())

    def _on_hangup(self) -> None:
        if self._has_terminal and not _has_terminal():
            # Not a wish: the terminal that this was started in is gone.
            self.end()
        else:
            self.roll()

    # --- one node after another, for ever ---

    async def _keep(self, slot: Slot) -> None:
        pause = self._patience.first_pause
        while not self._ending.is_set():
            async with slot.changing:
                if slot.node is None or not slot.node.running:
                    slot.node = await self._start(slot, self._new_listeners(slot))
                    self._spawn(self._tell_of(slot, slot.node))
            node = slot.node
            await self._end_of(node)
            async with slot.changing:
                if slot.node is not node:
                    continue  # its successor serves
            if self._ending.is_set():
                return
            if self._is_hopeless(node):
                log.error("a node cannot start", node=node.name, why=node.why_it_ended())
                self._status = 1
                self.end()
                return
            lived = time.monotonic() - node.ready_since if node.ready_since else 0.0
            if lived >= self._patience.lived_well:
                pause = self._patience.first_pause
            log.error(
                "node ended and is started again",
                node=node.name,
                pid=node.pid,
                why=node.why_it_ended(),
                lived_seconds=round(lived, 1),
                after_seconds=pause,
            )
            slot.down = True
            self._tell(f"{node.name} ended and is started again: {node.why_it_ended()}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
            pause = min(2 * pause, self._patience.longest_pause)

    def _is_hopeless(self, node: NodeProcess) -> bool:
        # As long as one node ever served, the others may do without this one for a while; and
        # servers that are not there yet come.
        return not self._ever_ready and not (node.said and node.said.state == "failed")

    async def _tell_of(self, slot: Slot, node: NodeProcess) -> None:
        """Say when a node that was started alone is ready."""
        await node.settled.wait()
        if node.running and not node.is_ready:
            log.warning("node serves but does not deliver", node=node.name, why=node.unready_why)
            node.serve_anyway()
            node.settled.clear()
            await node.settled.wait()
        if node.is_ready:
            self._is_ready(slot, node)

    def _is_ready(self, slot: Slot, node: NodeProcess) -> None:
        self._ever_ready = True
        log.info(
            "node is ready",
            node=slot.name,
            addr=self.service.name,
            node_addr=slot.own.name,
            pid=node.pid,
        )
        if slot.down:
            slot.down = False
            self._tell(f"{slot.name} is ready again")

    async def _start(self, slot: Slot, listeners: Listeners) -> NodeProcess:
        node = NodeProcess(slot.name, listeners)
        await node.start(
            self._program,
            {
                "STORM_ADDR": self.service.name,
                "STORM_NODE_ADDR": slot.own.name,
                "STORM_NODE_NAME": slot.name,
                "STORM_DATA_DIR": str(self._config.data_dir),
                **self._allocator,
            },
        )
        self._processes.add(node)
        if self._ending.is_set():
            node.end()
        return node

    def _new_listeners(self, slot: Slot) -> Listeners:
        return Listeners(self.service.listener(), slot.own.listener(), shared=True)

    async def _end_of(self, node: NodeProcess) -> None:
        """Wait for the end of a node, and once it was asked to end, not for ever."""
        ended = asyncio.create_task(node.wait())
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait([ended, ending], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        ended.cancel()
        if node.running:
            await self._see_off(node)
        self._gone(node)

    async def _see_off(self, node: NodeProcess) -> None:
        """Wait for the end of a node that drains."""
        deadline = time.monotonic() + self._config.drain_seconds + self._patience.after_drain
        while node.running and time.monotonic() < deadline:
            if self._hurried:
                await node.wait_within(self._patience.in_a_hurry)
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await node.wait()
        await node.wait_within(0)

    def _gone(self, node: NodeProcess) -> None:
        self._processes.discard(node)
        if node.asked_to_end and not node.ended_well and not self._hurried:
            log.error("node did not end well", node=node.name, why=node.why_it_ended())
            self._status = 1

    # --- a rolling restart ---

    async def _roll(self) -> None:
        try:
            log.info("rolling restart", nodes=len(self._slots))
            while True:
                self._roll_again = False
                for slot in self._slots:
                    if self._ending.is_set() or not await self._replace(slot):
                        return
                if not self._roll_again:
                    break
            log.info("rolling restart done")
        finally:
            self._rolling = False

    async def _replace(self, slot: Slot) -> bool:
        """False: the new one failed, and the old one serves on."""
        async with slot.changing:
            old = slot.node
            if old is None or not old.running:
                return True  # it starts anew anyway
            lent = await old.lend(self._patience.to_lend)
            new = await self._start(slot, lent or self._new_listeners(slot))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.to_be_ready):
                    await new.settled.wait()
            if not new.is_ready:
                await self._give_up(new)
                return False
            slot.node = new
            self._is_ready(slot, new)
            old.leave()
        await self._see_off(old)
        return True

    async def _give_up(self, new: NodeProcess) -> None:
        if not self._ending.is_set():
            log.error(
                "rolling restart stopped: the new node is not ready, the old ones serve on",
                node=new.name,
                why=self._why_not(new),
            )
        new.end()
        await new.wait_within(self._patience.in_a_hurry)
        self._processes.discard(new)

    def _why_not(self, node: NodeProcess) -> str:
        if not node.running:
            return node.why_it_ended()
        return node.unready_why or f"not ready within {self._patience.to_be_ready:g} s"

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def _own_addresses(config: Config, count: int) -> list[tuple[str, int]]:
    host, first = host_and_port(config.node_addr or "127.0.0.1:0")
    return [(host, first + number if first else 0) for number in range(count)]


def _has_terminal() -> bool:
    """Whether this process has a terminal that can hang up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
