"""What a target needs, from what things cost: pure functions.

A node is one process that works on one processor. Its load is the sum of what it does in a second,
each thing times its cost:

- deliveries: one frame each, and a write for every ``frames_per_write`` of them;
- messages that its own users write, and the commits that hold them. Messages that are delivered in
  one write were in one commit; and writes that come during a commit share the next one, so there
  are at most ``1 / commit_wall_seconds`` of these;
- messages from other nodes, for channels that it has connections of. A channel of ``size``
  connections, spread by chance over ``n`` nodes, is on one of them with the probability
  ``1 - (1 - 1/n) ** size``;
- idle connections, and those that come back within ``return_seconds``;
- itself: a node without connections is not idle.
"""

import math
from collections.abc import Iterator

import msgspec

from storm_gateway.capacity.calibration import Calibration, servers_of
from storm_gateway.capacity.errors import CapacityError
from storm_gateway.capacity.target import Room, Target

MOST_NODES = 4_096
SHARE_OF_FILES = 0.9
"""As admission has it: a node refuses connections above this share of its file limit."""
KERNEL_BYTES = 7 * 1024
"""Of the server's end of a connection, with a little in flight: sockets measured 4 to 7 KiB."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Processors (cores) that one node uses, by what for."""

    deliveries: float
    messages: float
    commits: float
    relays: float
    idle: float
    returns: float
    base: float

    @property
    def cores(self) -> float:
        """All together."""
        parts: tuple[float, ...] = msgspec.structs.astuple(self)
        return sum(parts)


class ServerLoad(msgspec.Struct, frozen=True, kw_only=True):
    """Processors (cores) that each of the servers uses."""

    nats: float
    valkey: float
    postgres: float


def delivery_seconds(calibration: Calibration, frames_per_write: float) -> float:
    """A delivery when so many share a write."""
    return calibration.frame_seconds + calibration.write_seconds / frames_per_write


def commits_of_node(target: Target, nodes: int, wall_seconds: float) -> float:
    """Commits a second of one node."""
    together = target.messages_per_second / nodes / target.frames_per_write
    return min(together, 1 / wall_seconds)


def _presence(room: Room, nodes: int) -> float:
    """With which probability a node has connections of such a channel."""
    if nodes == 1:
        return 1.0
    # Like 1 - (1 - 1/nodes) ** size, without losing digits.
    return -math.expm1(room.size * math.log1p(-1 / nodes))


def _rooms(target: Target) -> Iterator[tuple[Room, float]]:
    return zip(target.rooms, target.shares, strict=True)


def feeds_of_node(target: Target, nodes: int) -> float:
    """Channels that one node has connections of."""
    return sum(room.count * _presence(room, nodes) for room in target.rooms)


def copies_of_node(target: Target, nodes: int) -> float:
    """Messages a second that one node has connections for, whoever took them."""
    shares = sum(share * _presence(room, nodes) for room, share in _rooms(target))
    return target.messages_per_second * shares


def relays_of_node(target: Target, nodes: int, wall_seconds: float) -> tuple[float, float]:
    """Messages a second that other nodes took and this one delivers; in how many portions."""
    relays = copies_of_node(target, nodes) * (nodes - 1) / nodes
    commits_of_others = commits_of_node(target, nodes, wall_seconds) * (nodes - 1)
    return relays, min(relays, commits_of_others)


def opening_seconds(
    target: Target, calibration: Calibration, *, embedded: bool, known: bool = False
) -> float:
    """Processor time of a node for one connection that comes, with all its subscriptions.

    ``known``: a user who was there before.
    """
    servers, _ = servers_of(calibration)
    more = max(0.0, target.subscriptions / target.connections - 1)
    if not embedded:
        # Those who come back cost nearly as much: the connection does, and asking for rights.
        return servers.newcomer_seconds + more * servers.subscribe_seconds
    first = calibration.return_seconds if known else calibration.newcomer_seconds
    return first + more * calibration.subscribe_seconds


def node_load(target: Target, calibration: Calibration, nodes: int, *, embedded: bool) -> Load:
    """What one of ``nodes`` uses. ``embedded``: it is alone, on SQLite."""
    servers, _ = servers_of(calibration)
    costs = calibration if embedded else servers
    commits = commits_of_node(target, nodes, costs.commit_wall_seconds)
    relays, wakes = relays_of_node(target, nodes, servers.commit_wall_seconds)
    deliveries = target.deliveries_per_second / nodes
    coming = target.connections / nodes / target.return_seconds
    return Load(
        deliveries=deliveries * delivery_seconds(calibration, target.frames_per_write),
        messages=target.messages_per_second / nodes * costs.message_seconds,
        commits=commits * costs.commit_seconds,
        relays=relays * servers.relay_seconds + wakes * servers.relay_wake_seconds,
        idle=target.connections / nodes * calibration.idle_seconds,
        returns=coming * opening_seconds(target, calibration, embedded=embedded, known=True),
        base=costs.base_seconds,
    )


def server_load(target: Target, calibration: Calibration, nodes: int) -> ServerLoad:
    """What the servers of ``nodes`` use."""
    servers, _ = servers_of(calibration)
    commits = nodes * commits_of_node(target, nodes, servers.commit_wall_seconds)
    copies = copies_of_node(target, nodes)
    wakes = min(copies, commits)
    coming = target.connections / target.return_seconds
    return ServerLoad(
        nats=nodes * (copies * servers.nats_copy_seconds + wakes * servers.nats_wake_seconds),
        valkey=coming * servers.valkey_newcomer_seconds,
        postgres=target.messages_per_second * servers.postgres_message_seconds
        + commits * servers.postgres_commit_seconds
        + coming * servers.postgres_newcomer_seconds,
    )


def process_bytes(target: Target, calibration: Calibration, nodes: int, *, embedded: bool) -> float:
    """Bytes of one of ``nodes`` in the process, without headroom."""
    servers, _ = servers_of(calibration)
    more = max(0, target.subscriptions - target.connections)
    held = target.connections * calibration.connection_bytes
    held += more * calibration.subscription_bytes
    base = calibration.node_bytes if embedded else servers.node_bytes
    return base + held / nodes + feeds_of_node(target, nodes) * calibration.feed_bytes


def node_memory(target: Target, calibration: Calibration, nodes: int, *, embedded: bool) -> float:
    """Bytes of one of ``nodes``, in the process and in the kernel, with headroom."""
    servers, _ = servers_of(calibration)
    base = calibration.node_bytes if embedded else servers.node_bytes
    held = process_bytes(target, calibration, nodes, embedded=embedded) - base
    return base + target.headroom * (held + target.connections / nodes * KERNEL_BYTES)


def nodes_for_files(target: Target) -> int:
    """So that each has files enough for its connections."""
    return math.ceil(target.connections / int(target.files_per_node * SHARE_OF_FILES))


def file_limit(target: Target, nodes: int) -> int:
    """Open files that each of ``nodes`` must be allowed."""
    return math.ceil(math.ceil(target.connections / nodes) / SHARE_OF_FILES)


def fits_one_processor(
    target: Target, calibration: Calibration, nodes: int, *, embedded: bool = False
) -> bool:
    """Whether each of ``nodes`` keeps the headroom on its processor."""
    load = node_load(target, calibration, nodes, embedded=embedded)
    return load.cores * target.headroom <= 1


def nodes_needed(
    target: Target, calibration: Calibration, memory_bytes: float = math.inf
) -> tuple[int, str]:
    """The least number of nodes, of ``memory_bytes`` at most each, that carry the target; and what
    asks for so many. Raises :class:`CapacityError` when no number does.
    """
    files = nodes_for_files(target)
    if files > MOST_NODES:
        raise CapacityError(
            f"{files:,} nodes would be needed for the open files alone: raise --files-per-node "
            f"({target.files_per_node:,})"
        )
    reason = "open files" if files > 1 else "one is enough"
    for nodes in range(files, MOST_NODES + 1):
        if not fits_one_processor(target, calibration, nodes):
            reason = "processor"
        elif node_memory(target, calibration, nodes, embedded=False) > memory_bytes:
            reason = "memory"
        else:
            return nodes, reason
    if reason == "memory":
        raise CapacityError("not even a node with few connections fits the memory of a machine")
    load = node_load(target, calibration, MOST_NODES, embedded=False)
    raise CapacityError(
        f"{MOST_NODES:,} nodes do not carry it: each would still use {load.cores:.2f} cores, "
        f"{load.relays:.2f} of them for messages of other nodes. Ask for fewer messages, or "
        "smaller rooms"
    )
