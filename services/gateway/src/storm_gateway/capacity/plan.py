"""Which machines carry a target for the least money: pure functions."""

import math

import msgspec

from storm_gateway.capacity.calibration import Calibration
from storm_gateway.capacity.errors import CapacityError
from storm_gateway.capacity.model import (
    Load,
    ServerLoad,
    feeds_of_node,
    file_limit,
    fits_one_processor,
    node_load,
    node_memory,
    nodes_for_files,
    nodes_needed,
    server_load,
)
from storm_gateway.capacity.prices import Machine, Prices
from storm_gateway.capacity.storage import Storage, Traffic, storage, traffic
from storm_gateway.capacity.target import Target

MIB = 1024**2
SYSTEM_BYTES = 512 * MIB
"""Of each machine, for its system."""
POSTGRES_BYTES = 1024 * MIB
"""Of PostgreSQL without connections: its buffers."""
POSTGRES_CONNECTION_BYTES = 10 * MIB
POSTGRES_CONNECTIONS_OF_A_NODE = 2 * 5
"""Four that read and one that writes; in a rolling restart twice as many."""
NATS_BYTES = 64 * MIB
NATS_NODE_BYTES = 2 * MIB
NATS_SUBSCRIPTION_BYTES = 512
"""A channel on a node: 500 bytes at 74,000 of them (docs/load-tests/hold-100k.md)."""
VALKEY_BYTES = 32 * MIB
VALKEY_CONNECTION_BYTES = 400
"""Presence: 387 bytes at 100,000 (the same report)."""


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """Some machines of one kind."""

    purpose: str
    machine: Machine
    count: int

    @property
    def month(self) -> float:
        """Their price together."""
        return self.machine.month * self.count


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. Cores and bytes; money a month."""

    embedded: bool
    """One node on SQLite, without servers."""
    nodes_needed: int
    """So many must live."""
    nodes: int
    """So many run: the machines that may be away have some."""
    nodes_because: str
    node_load: Load
    """Of one of those needed, without headroom."""
    node_bytes: float
    files_per_node: int
    server_load: ServerLoad
    """Without headroom."""
    server_bytes: dict[str, float]
    storage: Storage
    traffic: Traffic
    bought: tuple[Bought, ...]
    costs: dict[str, float]
    """By what for."""

    @property
    def month(self) -> float:
        """What all of it costs."""
        return sum(self.costs.values())


def make_plan(target: Target, calibration: Calibration, prices: Prices) -> Plan:
    """The cheapest machines of the table. Raises :class:`CapacityError` when none can do it."""
    if target.spare_machines == 0:
        alone = embedded_plan(target, calibration, prices)
        if alone is not None:
            return alone
    needed, because, nodes, on = _machines_with_nodes(target, calibration, prices)
    load = server_load(target, calibration, nodes)
    sizes = _server_bytes(target, nodes)
    bought = (on, *_machines_with_servers(target, load, sizes, prices))
    return _priced(
        Plan(
            embedded=False,
            nodes_needed=needed,
            nodes=nodes,
            nodes_because=because,
            node_load=node_load(target, calibration, needed, embedded=False),
            node_bytes=node_memory(target, calibration, needed, embedded=False),
            files_per_node=file_limit(target, needed),
            server_load=load,
            server_bytes=sizes,
            storage=storage(target, embedded=False),
            traffic=traffic(target, calibration),
            bought=bought,
            costs={},
        ),
        prices,
    )


def embedded_plan(target: Target, calibration: Calibration, prices: Prices) -> Plan | None:
    """One node on SQLite, when that is enough: nothing takes its place while it is away."""
    if nodes_for_files(target) > 1:
        return None
    if not fits_one_processor(target, calibration, 1, embedded=True):
        return None
    memory = node_memory(target, calibration, 1, embedded=True)
    able = [each for each in prices.machine if memory <= each.memory_bytes - SYSTEM_BYTES]
    if not able:
        return None
    machine = min(able, key=lambda machine: machine.month)
    return _priced(
        Plan(
            embedded=True,
            nodes_needed=1,
            nodes=1,
            nodes_because="one is enough",
            node_load=node_load(target, calibration, 1, embedded=True),
            node_bytes=memory,
            files_per_node=file_limit(target, 1),
            server_load=ServerLoad(nats=0, valkey=0, postgres=0),
            server_bytes={},
            storage=storage(target, embedded=True),
            traffic=traffic(target, calibration),
            bought=(Bought(purpose="the node", machine=machine, count=1),),
            costs={},
        ),
        prices,
    )


def _machines_with_nodes(
    target: Target, calibration: Calibration, prices: Prices
) -> tuple[int, str, int, Bought]:
    """Nodes needed and why, nodes that run, and on what."""
    found = []
    trouble = CapacityError("no machine of the price table can hold a node")
    for machine in prices.machine:
        usable = machine.memory_bytes - SYSTEM_BYTES
        try:
            needed, because = nodes_needed(target, calibration, usable)
        except CapacityError as error:
            trouble = error
            continue
        fitting = int(usable // node_memory(target, calibration, needed, embedded=False))
        most = max(1, min(machine.cores, fitting))
        working = math.ceil(needed / most)
        # As few on each as will do: a machine that is away takes them along.
        each = math.ceil(needed / working)
        count = working + target.spare_machines
        bought = Bought(purpose="nodes", machine=machine, count=count)
        found.append((bought.month, count, needed, because, each * count, bought))
    if not found:
        raise trouble
    _, _, needed, because, nodes, bought = min(found, key=lambda row: row[:3])
    return needed, because, nodes, bought


def _server_bytes(target: Target, nodes: int) -> dict[str, float]:
    postgres = nodes * POSTGRES_CONNECTIONS_OF_A_NODE * POSTGRES_CONNECTION_BYTES
    feeds = target.headroom * nodes * feeds_of_node(target, nodes)
    here = target.headroom * target.connections
    return {
        "NATS": NATS_BYTES + nodes * NATS_NODE_BYTES + feeds * NATS_SUBSCRIPTION_BYTES,
        "Valkey": VALKEY_BYTES + here * VALKEY_CONNECTION_BYTES,
        "PostgreSQL": POSTGRES_BYTES + postgres,
    }


def _machines_with_servers(
    target: Target, load: ServerLoad, sizes: dict[str, float], prices: Prices
) -> list[Bought]:
    """One for all three, or one for each where that is cheaper or the only way."""
    cores = {"NATS": load.nats, "Valkey": load.valkey, "PostgreSQL": load.postgres}
    wanted = {name: used * target.headroom for name, used in cores.items()}
    if wanted["Valkey"] > 1:
        raise CapacityError(
            f"Valkey works on one processor and would need {wanted['Valkey']:.1f}: "
            "let the clients come back more slowly (--return-seconds)"
        )
    together = _cheapest(sum(wanted.values()), sum(sizes.values()), prices)
    apart = [(name, _cheapest(wanted[name], sizes[name], prices)) for name in wanted]
    ways = []
    if together is not None:
        ways.append([Bought(purpose=", ".join(wanted), machine=together, count=1)])
    if all(machine is not None for _, machine in apart):
        ways.append([Bought(purpose=name, machine=m, count=1) for name, m in apart if m])
    if not ways:
        name = next(name for name, machine in apart if machine is None)
        raise CapacityError(
            f"{name} needs {wanted[name]:.1f} cores and {sizes[name] / 1024**3:.1f} GiB: no "
            "machine of the price table has so much"
        )
    return min(ways, key=lambda way: (sum(each.month for each in way), len(way)))


def _cheapest(cores: float, size: float, prices: Prices) -> Machine | None:
    able = [
        machine
        for machine in prices.machine
        if machine.cores >= cores and machine.memory_bytes - SYSTEM_BYTES >= size
    ]
    return min(able, key=lambda machine: (machine.month, machine.cores), default=None)


def _priced(plan: Plan, prices: Prices) -> Plan:
    gib = 1024**3
    store = plan.bought[-1].machine
    disk = max(0.0, plan.storage.disk_bytes / gib - store.disk_gib)
    front = plan.bought[0]
    included = front.machine.traffic_gib * front.count
    sent = max(0.0, plan.traffic.bytes_per_month / gib - included)
    costs = {
        f"{each.count} x {each.machine.name}: {each.purpose}": each.month for each in plan.bought
    }
    costs[f"disk, {disk:,.0f} GiB beyond the machine's"] = disk * prices.disk_gib
    costs[f"traffic, {sent:,.0f} GiB beyond the machines'"] = sent * prices.traffic_gib
    if front.count > 1:
        costs["load balancer"] = prices.balancer
    return msgspec.structs.replace(plan, costs=costs)
