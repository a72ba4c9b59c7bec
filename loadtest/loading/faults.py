"""What breaks during a run: the driver does it to its own stack, and mends it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.progress import say

from loading.profile import Fault
from storm_gateway.stack.processes import family_of
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.toxics import Toxics

if TYPE_CHECKING:
    from storm_gateway.stack.stack import Stack

_SLOW_BUS = Toxics(latency_seconds=0.1, jitter_seconds=0.02)
_SLOW_DATABASE = Toxics(latency_seconds=0.5)


@dataclass(frozen=True)
class Window:
    """When something was broken, in seconds of the run."""

    what: str
    begin: float
    end: float
    judged_from: float
    """Times count as service level again."""


class Faults:
    """The faults of a profile, in a thread of their own. Started with the servers, before the
    nodes: what shall be slow has a proxy in front.
    """

    def __init__(self, stack: "Stack", faults: list[Fault], cleanup: ExitStack) -> None:
        self.windows: list[Window] = []
        self._stack = stack
        self._faults = sorted(faults, key=lambda fault: fault.at)
        self._proxies: dict[str, Proxy] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        kinds = {fault.what for fault in faults}
        node = stack.node_processes[0]
        if "nats_slow" in kinds:
            proxy = self._proxy("nats_slow", (stack.nats.host, stack.nats.port), cleanup)
            node.settings["STORM_NATS_URL"] = proxy.instead_of(stack.nats.url)
        if "database_slow" in kinds:
            place = (stack.postgres.host, stack.postgres.port)
            proxy = self._proxy("database_slow", place, cleanup)
            node.settings["STORM_DATABASE_URL"] = proxy.instead_of(stack.postgres.url)

    def _proxy(self, what: str, target: tuple[str, int], cleanup: ExitStack) -> Proxy:
        self._proxies[what] = proxy = Proxy(target)
        cleanup.enter_context(proxy)
        return proxy

    def start(self, hold_begins: float, began: float) -> None:
        """``hold_begins``, ``began``: of the machine's clock; the faults' seconds count from the
        first, those of the windows from the second.
        """

        def run() -> None:
            for fault in self._faults:
                if self._end.wait(max(0.0, hold_begins + fault.at - time.time())):
                    return
                begin = time.time() - began
                say(f"fault: {fault.what}" + (f", {fault.seconds:g} s" if fault.seconds else ""))
                mend = self._break(fault.what)
                self._end.wait(fault.seconds)
                mend()
                end = time.time() - began
                if fault.seconds:
                    say(f"fault: {fault.what} is over")
                self.windows.append(Window(fault.what, begin, end, end + fault.recover_seconds))

        self._thread = threading.Thread(target=run, name="faults", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """What is broken is mended; nothing more breaks."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _break(self, what: str) -> Callable[[], None]:
        """Do it; gives how to mend it."""
        if what in self._proxies:
            if what == "nats_slow":
                self._proxies[what].harm(_SLOW_BUS)
            else:
                self._proxies[what].harm(answers=_SLOW_DATABASE)
            return self._proxies[what].heal
        if what == "nats_paused":
            self._stack.nats.pause()
            return self._stack.nats.resume
        node = self._stack.node_processes[0].pid
        if what == "rolling_restart":
            os.kill(node, signal.SIGHUP)
        else:
            # The supervisor starts another one.
            os.kill(family_of(node)[-1], signal.SIGKILL)
        return lambda: None
