"""What things cost on one machine: as measured, in a file, or on the machine of reference."""

import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from storm_gateway.capacity.errors import CapacityError

VERSION = 1


class Servers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Costs with NATS, Valkey and PostgreSQL: processor time in seconds, of one process each."""

    node_bytes: float
    """Memory (PSS) of a node that has links to all of them and few connections."""
    base_seconds: float
    """A node without connections, for each second: probes, comparing heads."""
    message_seconds: float
    """A message at the node that takes it, without the commit."""
    commit_seconds: float
    """A commit, at that node."""
    commit_wall_seconds: float
    """From a message to its ack when nothing else is under way: a commit takes at most so long."""
    relay_seconds: float
    """A message at another node, without its deliveries."""
    relay_wake_seconds: float
    """The messages of one commit arriving at another node, however many."""
    newcomer_seconds: float
    """A connection of a user never seen, who joins a channel of ten; at the node."""
    subscribe_seconds: float
    """Another subscription, at the node."""
    postgres_message_seconds: float
    postgres_commit_seconds: float
    postgres_newcomer_seconds: float
    nats_copy_seconds: float
    """A message given to one node."""
    nats_wake_seconds: float
    """The messages of one commit given to one node."""
    valkey_newcomer_seconds: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Costs of one node. Times are processor time in seconds unless they say otherwise."""

    version: int
    measured_at: str
    machine: str
    storm: str
    connections: int
    """How many there were while it was measured."""
    seconds: float
    """How long it took."""
    load: float
    """What else ran: the machine's load of the last minute, as it began."""
    quick: bool
    node_bytes: float
    """Memory (PSS) of a node that has had connections and has none."""
    connection_bytes: float
    """Memory (PSS) of an idle connection with one subscription."""
    subscription_bytes: float
    """Memory (PSS) of another subscription of it."""
    feed_bytes: float
    """Memory (PSS) of a channel that this node has connections of."""
    base_seconds: float
    """A node without connections, for each second."""
    newcomer_seconds: float
    """A connection of a user never seen."""
    return_seconds: float
    """A connection of a user who was there before."""
    subscribe_seconds: float
    """Another subscription."""
    idle_seconds: float
    """An idle connection, for each second: pings, heartbeats."""
    frame_seconds: float
    """A delivery, without the write."""
    write_seconds: float
    """A write to a connection, with however many deliveries."""
    event_bytes: float
    """A message as it is delivered, without its payload."""
    message_seconds: float
    """A message, on SQLite, without the commit."""
    commit_seconds: float
    commit_wall_seconds: float
    messages_per_second: float
    """Acknowledged, on SQLite, with some dozens under way: wall clock."""
    spread: float
    """How far repeated measurements of deliveries were apart, as a share of their median."""
    servers: Servers | None = None
    """None: the servers were not there, not asked for, or there was no time."""


def read(path: Path) -> Calibration:
    """A file that ``--save`` wrote. Raises :class:`CapacityError`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CapacityError(f"the calibration cannot be read: {error}") from None
    return parse(text, str(path))


def write(calibration: Calibration, path: Path) -> None:
    """Keep it for ``--calibration``. Raises :class:`CapacityError`."""
    text = msgspec.json.format(msgspec.json.encode(calibration), indent=2)
    try:
        path.write_bytes(text + b"\n")
    except OSError as error:
        raise CapacityError(f"the calibration cannot be written: {error}") from None


def reference() -> Calibration:
    """The one that comes with STORM; it says on which machine it was made."""
    text = files("storm_gateway.capacity").joinpath("reference.json").read_bytes()
    return parse(text, "reference.json")


def servers_of(calibration: Calibration) -> tuple[Servers, bool]:
    """Costs with servers, and whether they were measured. Those that were not are the reference's,
    stretched by how much longer this machine takes for messages on SQLite.
    """
    if calibration.servers is not None:
        return calibration.servers, True
    known = reference()
    if known.servers is None:
        raise CapacityError("the calibration of reference has no servers")
    ratio = (calibration.message_seconds + calibration.commit_seconds) / (
        known.message_seconds + known.commit_seconds
    )
    factors = {
        "node_bytes": 1.0,
        # That is the disk's, not the processor's.
        "commit_wall_seconds": calibration.commit_wall_seconds / known.commit_wall_seconds,
    }
    found = {
        name: value * factors.get(name, ratio)
        for name, value in msgspec.structs.asdict(known.servers).items()
    }
    return Servers(**found), False


def parse(text: bytes, name: str) -> Calibration:
    """Raises :class:`CapacityError` that says what is wrong."""
    try:
        found = msgspec.json.decode(text, type=Calibration)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CapacityError(
            f"{name} is no calibration: {error}. Make one: storm capacity --save FILE"
        ) from None
    if found.version != VERSION:
        raise CapacityError(
            f"{name} is of another version of STORM: make a new one with storm capacity --save FILE"
        )
    _check(found, name, "")
    if found.servers is not None:
        _check(found.servers, name, "servers.")
    return found


def _check(found: msgspec.Struct, name: str, prefix: str) -> None:
    needed = {"node_bytes", "write_seconds", "message_seconds", "commit_wall_seconds"}
    values: dict[str, Any] = msgspec.structs.asdict(found)
    for field, value in values.items():
        if isinstance(value, float) and not (0 <= value < 1e12 and math.isfinite(value)):
            raise CapacityError(f"{name}: {prefix}{field} cannot be {value}")
        if field in needed and not value:
            raise CapacityError(f"{name}: {prefix}{field}: a cost of nothing was not measured")
