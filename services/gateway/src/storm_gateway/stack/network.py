"""Hosts of their own on this machine, and a network between them that can be partitioned.

Each host is a network namespace of Linux with one address; a bridge joins them, and this machine
itself is on it, too. A packet from one host to another is lost by a wrong entry in the sender's
neighbour table: silently, like in a network that broke, for each direction apart, and with no
need for a packet filter.
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.processes import command_of

HERE = ""
"""The name of this machine among the hosts."""
_PREFIX = "storm-net-"
_BRIDGE = "stormb"
_CABLE = "stormv"
_NOBODY = "02:00:00:00:00:00"
_SUBNETS = range(64, 256)
_FIRST_HOST = 11


def missing() -> str:
    """What this machine lacks for it, in words; empty: nothing."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if shutil.which("ip") is None:
        return "needs the program ip (Debian: iproute2), for network namespaces"
    try:
        with Network(["probe"]):
            pass
    except StackError as error:
        return f"no network namespaces here: {error}"
    return ""


def sweep() -> None:
    """Take away what owners left behind who live no more."""
    for line in _ip("-o", "link", "show").splitlines():
        name = line.split(":")[1].strip().partition("@")[0]
        owner = name.removeprefix(_BRIDGE).removeprefix(_CABLE).partition("-")[0]
        if name.startswith((_BRIDGE, _CABLE)) and owner.isdigit() and not command_of(int(owner)):
            _try_ip("link", "delete", name)
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0] if line.strip() else ""
        owner = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and owner.isdigit() and not command_of(int(owner)):
            _try_ip("netns", "delete", name)


class Network:
    """Hosts with names, each reachable from all others and from this machine."""

    def __init__(self, hosts: Sequence[str], *, aliases: int = 0) -> None:
        """``aliases``: more addresses of this machine, so that it can play several servers and be
        cut off from a host as one of them alone (see :meth:`alias`).
        """
        self.hosts = list(hosts)
        self._aliases = aliases
        self._bridge = f"{_BRIDGE}{os.getpid()}"
        self._subnet = ""
        self._blocked: set[tuple[str, str]] = set()

    # --- life ---

    def start(self) -> None:
        """Make it. Raises :class:`StackError`, and then nothing is left."""
        sweep()
        taken = _ip("-o", "-4", "address", "show")
        # From another one in each process: two that begin at once must not take the same.
        first = os.getpid() % len(_SUBNETS)
        subnets = (f"10.213.{n}" for n in (*_SUBNETS[first:], *_SUBNETS[:first]))
        self._subnet = next(each for each in subnets if f" {each}." not in taken)
        try:
            self._make()
        except BaseException:
            self.stop()
            raise

    def _make(self) -> None:
        _ip("link", "add", self._bridge, "type", "bridge")
        for number in range(1, self._aliases + 2):
            _ip("address", "add", f"{self._subnet}.{number}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for index, host in enumerate(self.hosts):
            name, cable = self._name(host), self._cable(index)
            _ip("netns", "add", name)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", cable, "master", self._bridge, "up")
            _ip("-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")

    def stop(self) -> None:
        """Take it away. What still runs in a host loses its network. May be called again."""
        for index, host in enumerate(self.hosts):
            # A namespace takes its time to go, and its end of the cable would go with it.
            _try_ip("link", "delete", self._cable(index))
            _try_ip("netns", "delete", self._name(host))
        _try_ip("link", "delete", self._bridge)
        self._blocked.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- what to know ---

    def address(self, host: str) -> str:
        """Of a host, or of this machine (``HERE``). Known once it was started."""
        if host == HERE:
            return f"{self._subnet}.1"
        return f"{self._subnet}.{_FIRST_HOST + self.hosts.index(host)}"

    def alias(self, number: int) -> str:
        """Another address of this machine, from 1 on."""
        return f"{self._subnet}.{number + 1}"

    def inside(self, host: str) -> list[str]:
        """What stands before a command that shall run in a host."""
        return ["ip", "netns", "exec", self._name(host)]

    # --- harm ---

    def block(self, source: str, target: str) -> None:
        """Lose all packets from a host to a host or an address, and only in this direction."""
        address = self.address(target) if target in (*self.hosts, HERE) else target
        self._ip_of(
            source, "neighbour", "replace", address, "lladdr", _NOBODY, "nud", "permanent", "dev"
        )
        self._blocked.add((source, address))

    def cut(self, one: str, other: str) -> None:
        """Lose all packets between two hosts, both ways."""
        self.block(one, other)
        self.block(other, one)

    def partition(self, *groups: Iterable[str]) -> None:
        """Only hosts of one group reach each other; hosts of no group are left as they are."""
        for one, other in itertools.combinations(groups, 2):
            for pair in itertools.product(one, other):
                self.cut(*pair)

    def heal(self) -> None:
        """Every packet arrives again."""
        for source, address in self._blocked:
            self._ip_of(source, "neighbour", "delete", address, "dev")
        self._blocked.clear()

    def _ip_of(self, host: str, *arguments: str) -> None:
        if host == HERE:
            _ip(*arguments, self._bridge)
        else:
            _ip("-n", self._name(host), *arguments, "eth0")

    def _cable(self, index: int) -> str:
        return f"{_CABLE}{os.getpid()}-{index}"

    def _name(self, host: str) -> str:
        return f"{_PREFIX}{os.getpid()}-{host}"


def _ip(*arguments: str) -> str:
    ran = subprocess.run(  # noqa: S603 our own command line
        ["ip", *arguments],  # noqa: S607 the one of the machine
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise StackError(f"ip {' '.join(arguments)}: {ran.stderr.strip()}")
    return ran.stdout


def _try_ip(*arguments: str) -> None:
    """The same, for what may not be there."""
    try:
        _ip(*arguments)
    except StackError:
        return
