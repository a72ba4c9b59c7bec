"""Who may come in now: bounds per user, per address, in all, and per second.

Bounds per user and address are of this node. The one per user holds over all nodes as well, where
there are several: see ``storm_gateway.limits``. Who has how many here, the hub knows already.
"""

import resource

from storm_gateway.config import Config
from storm_gateway.protocol.handshake import RefusedHandshake

_SHARE_OF_FILES = 0.9
"""The rest is for the database, the log and requests that are no WebSockets."""

_OTHER_FILES = 512
"""More than those of the database, the log and of requests under way."""


def connection_limit(configured: int) -> int:
    """The most connections that this process may hold: below its file limit in any case."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = int(soft * _SHARE_OF_FILES)
    return min(configured, most) if configured else most


def most_files(configured: int) -> int:
    """How many files this process has at most, its connections among them; below its limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(connection_limit(configured) + _OTHER_FILES, soft - 1)


def raise_file_limit() -> int:
    """Ask for as many files as this process may have; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Admission:
    """Counts connections and refuses those over a bound."""

    def __init__(self, config: Config) -> None:
        self.limit = connection_limit(config.max_connections)
        self.total = 0
        self.draining = False
        self._per_user = config.max_connections_per_user
        self._per_address = config.max_connections_per_address
        self._addresses: dict[str, int] = {}
        self._rate = config.handshakes_per_second
        self._tokens = self._rate
        self._filled = 0.0

    def check_node(self, now: float) -> None:
        """Before anything costs: is there room at all? Raises :class:`RefusedHandshake`."""
        if self.draining:
            raise RefusedHandshake(
                503, "unavailable", "This node is going away.", retry_after=1, reason="draining"
            )
        if self.total >= self.limit:
            raise RefusedHandshake(
                503, "unavailable", "This node is full.", retry_after=5, reason="full"
            )
        if self._rate:
            self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
            if self._tokens < 1:
                raise RefusedHandshake(
                    503, "unavailable", "Too many connect at once.", retry_after=1, reason="rate"
                )
            self._tokens -= 1

    def check_address(self, address: str) -> None:
        """Before the token is looked at."""
        if self._per_address and self._addresses.get(address, 0) >= self._per_address:
            raise RefusedHandshake(
                503,
                "limit_reached",
                "Too many connections from this address.",
                retry_after=5,
                reason="address",
            )

    def check_user(self, here: int) -> None:
        """When the user is known. ``here``: connections that it has on this node."""
        if self._per_user and here >= self._per_user:
            raise RefusedHandshake(
                503,
                "limit_reached",
                f"A user may have {self._per_user} connections; close one first.",
                retry_after=5,
                reason="user",
            )

    def fit(self) -> None:
        """Most have left: a dictionary keeps the room of what was removed from it."""
        self._addresses = dict(self._addresses)

    def needed(self, address: str) -> str:
        """What a connection has to keep of its address: nothing, where addresses have no bound."""
        return address if self._per_address else ""

    def enter(self, address: str) -> None:
        """A connection is open."""
        self.total += 1
        if self._per_address:
            self._addresses[address] = self._addresses.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """A connection is gone."""
        self.total -= 1
        left = self._addresses.get(address, 0) - 1
        if left > 0:
            self._addresses[address] = left
        else:
            self._addresses.pop(address, None)
