"""The node's half: it tells its supervisor how it is, and ends when the supervisor is gone."""

import asyncio
import logging
import socket
from collections.abc import Callable

import msgspec

from storm_gateway.connections.listeners import Listeners
from storm_gateway.supervisor.messages import Line, State, Wish

log = logging.getLogger("storm")


class Leash:
    """What ``app.serve`` knows of a supervisor. Give it the three descriptors that the supervisor
    passed on the command line.
    """

    def __init__(self, line: int, service: int, own: int) -> None:
        self.listeners = Listeners(
            socket.socket(fileno=service), socket.socket(fileno=own), shared=True
        )
        for listener in self.listeners.all:
            listener.setblocking(False)
        self.replaced = False
        self._line = Line(socket.socket(fileno=line))
        self._may_serve = asyncio.Event()
        self._end: Callable[[], None] = lambda: None

    def attach(self, end: Callable[[], None]) -> None:
        """From now on the supervisor is heard; ``end`` begins the drain. Call it in the loop."""
        self._end = end
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._read)

    def detach(self) -> None:
        asyncio.get_running_loop().remove_reader(self._line.fileno())

    def ready(self) -> None:
        """The node delivers."""
        self._line.tell(State("ready"))

    async def unready(self, why: str) -> None:
        """It does not deliver (yet). Returns when it shall serve all the same."""
        self._line.tell(State("unready", why))
        await self._may_serve.wait()

    def failed(self, why: str, *, again: bool) -> None:
        """The node ends by itself. ``again``: another try may go well."""
        self._line.tell(State("failed" if again else "refused", why))

    def _read(self) -> None:
        lines = self._line.read()
        if lines is None:
            self.detach()
            log.warning("the supervisor is gone: this node drains and ends")
            self._release()
            return
        for line in lines:
            self._follow(msgspec.json.decode(line, type=Wish))

    def _follow(self, said: Wish) -> None:
        if said.wish == "serve":
            self._may_serve.set()
        elif said.wish == "lend":
            self._line.tell(State("lent"), self.listeners.all)
        else:
            self.replaced = True
            self._release()

    def _release(self) -> None:
        self._may_serve.set()
        self._end()


def parse_descriptors(text: str) -> tuple[int, int, int]:
    """The value of ``--supervised``. Raises ``ValueError``."""
    line, service, own = (int(number) for number in text.split(","))
    return line, service, own
