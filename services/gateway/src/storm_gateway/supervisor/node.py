"""One node as a child process: started, heard, asked and ended."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from storm_gateway.connections.listeners import Listeners
from storm_gateway.supervisor.messages import Line, State, Wish

log = structlog.get_logger("storm.supervisor")


class NodeProcess:
    """From its start to its end. A restart makes another one."""

    def __init__(self, name: str, listeners: Listeners) -> None:
        """Takes the sockets over: they are closed here as soon as the process has them."""
        self.name = name
        self.settled = asyncio.Event()
        """It is ready, or said that it is not, or has ended."""
        self.is_ready = False
        self.unready_why = ""
        self.said: State | None = None
        """``refused`` or ``failed``, when it said so."""
        self.asked_to_end = False
        self.ready_since: float | None = None
        self._listeners = listeners
        self._lent = asyncio.Event()
        self._line: Line
        self._process: asyncio.subprocess.Process
        self._ended = asyncio.Event()
        self._watching: asyncio.Task[None]

    # --- life ---

    async def start(self, program: Sequence[str], environment: Mapping[str, str]) -> None:
        """Raises ``OSError`` when there is no such program."""
        ours, theirs = socket.socketpair()
        self._line = Line(ours)
        descriptors = [theirs.fileno(), *(each.fileno() for each in self._listeners.all)]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *program,
                ",".join(map(str, descriptors)),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, **environment},
                pass_fds=descriptors,
                # Ctrl-C is for the supervisor: it ends its nodes in its own way.
                start_new_session=True,
            )
        except OSError:
            self._line.close()
            raise
        finally:
            theirs.close()
            # Only who serves holds them. Were they open here as well, the kernel would go on
            # queueing connections for a node that has died.
            self._listeners.close()
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._read)
        self._watching = asyncio.create_task(self._watch())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def ended_well(self) -> bool:
        """It ended as it was asked to: after its drain, or before it had anything to drain."""
        status = self._process.returncode
        return self.asked_to_end and (
            status == 0 or (self.ready_since is None and status == -signal.SIGTERM)
        )

    async def wait(self) -> None:
        """Until it has ended."""
        await self._ended.wait()

    async def wait_within(self, seconds: float) -> None:
        """Until it has ended; what takes longer is killed."""
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            log.error("node does not end and is killed", node=self.name, pid=self.pid)  # noqa: TRY400
            self.signal(signal.SIGKILL)
            await self.wait()

    # --- what it is asked ---

    def serve_anyway(self) -> None:
        """Although it said that it does not deliver yet."""
        self._line.tell(Wish("serve"))

    async def lend(self, seconds: float) -> Listeners | None:
        """Its listening sockets, for its successor; None when it does not answer in time."""
        self._lent.clear()
        if not self._line.tell(Wish("lend")):
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lent.wait()
        lent = self._line.take_sockets()
        if len(lent) == 2:
            return Listeners(lent[0], lent[1], shared=True)
        for each in lent:
            each.close()
        return None

    def leave(self) -> None:
        """Its successor serves: close the listeners and drain."""
        self.asked_to_end = True
        if not self._line.tell(Wish("leave")):
            self.signal(signal.SIGTERM)

    def end(self) -> None:
        """Drain and end."""
        self.asked_to_end = True
        self.signal(signal.SIGTERM)

    def hurry(self) -> None:
        """End now; what was acknowledged stays."""
        self.signal(signal.SIGINT)

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    # --- what it says ---

    def _read(self) -> None:
        lines = self._line.read()
        if lines is None:
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            self._lent.set()
            return
        for line in lines:
            try:
                self._hear(msgspec.json.decode(line, type=State))
            except msgspec.DecodeError:
                log.warning("node says what nobody understands", node=self.name)

    def _hear(self, said: State) -> None:
        match said.state:
            case "ready":
                self.is_ready = True
                self.ready_since = time.monotonic()
                self.settled.set()
            case "unready":
                self.unready_why = said.why
                self.settled.set()
            case "lent":
                self._lent.set()
            case "refused" | "failed":
                self.said = said

    async def _watch(self) -> None:
        await self._process.wait()
        # Its last words may still be in the pair.
        loop = asyncio.get_running_loop()
        if loop.remove_reader(self._line.fileno()):
            self._read_rest()
        self._line.close()
        self.is_ready = False
        self._ended.set()
        self.settled.set()
        self._lent.set()

    def _read_rest(self) -> None:
        for line in self._line.read() or []:
            with contextlib.suppress(msgspec.DecodeError):
                self._hear(msgspec.json.decode(line, type=State))

    def why_it_ended(self) -> str:
        """For people."""
        if self.said is not None:
            return self.said.why
        status = self._process.returncode
        if status is not None and status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"ended with status {status}"
