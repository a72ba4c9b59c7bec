"""The answer for people: pure functions."""

from collections.abc import Iterable

from storm_gateway.capacity.calibration import Calibration, servers_of
from storm_gateway.capacity.model import delivery_seconds
from storm_gateway.capacity.plan import MIB, Plan
from storm_gateway.capacity.prices import Prices
from storm_gateway.capacity.target import Target

_GIB = 1024**3
_MANY_FILES = 1_024
"""What a login shell allows on many systems."""
_MANY_PORTS = 20_000
_WIDTH = 34
_LOADS = {"NATS": "nats", "Valkey": "valkey", "PostgreSQL": "postgres"}


def lines(
    target: Target, calibration: Calibration, plan: Plan, prices: Prices, budget: float
) -> list[str]:
    """What is asked, what it needs, what it costs, what to look at."""
    return [
        *_asked(target),
        "",
        *_needed(target, plan),
        "",
        *_cost(plan, prices, budget),
        "",
        *_sources(calibration, plan),
        *_warnings(target, calibration, plan),
    ]


def budget_line(plan: Plan, prices: Prices, budget: float) -> str:
    """Under or over, by how much, and what costs most."""
    left = budget - plan.month
    what = max(plan.costs, key=lambda name: plan.costs[name])
    side = "under" if left >= 0 else "OVER"
    return (
        f"{abs(left):,.0f} {prices.currency} {side} the budget of {budget:,.0f}; "
        f"most of it is {what}"
    )


def size(amount: float) -> str:
    """Bytes as people say them."""
    return f"{amount / _GIB:,.1f} GiB" if amount >= _GIB else f"{amount / MIB:,.0f} MiB"


def _row(name: str, value: str) -> str:
    return f"  {name:<{_WIDTH}}{value}"


def _asked(target: Target) -> list[str]:
    rooms = ", ".join(f"{room.count:,} of {room.size:,}" for room in target.rooms)
    return [
        f"{target.connections:,} connections, {target.messages_per_second:,.1f} messages a second",
        _row("channels", rooms),
        _row("deliveries a second", f"{target.deliveries_per_second:,.0f}"),
        _row("payload", f"{target.payload_bytes:,} bytes"),
        _row("kept", f"{target.history_days:,} days, {target.busy_hours:g} busy hours each"),
        _row("headroom", f"{target.headroom:g} times what is calculated"),
    ]


def _needed(target: Target, plan: Plan) -> list[str]:
    found = [
        "What it needs" + (" (one node, on SQLite, without servers)" if plan.embedded else ""),
        _row("nodes", f"{plan.nodes:,} ({plan.nodes_needed:,} must live: {plan.nodes_because})"),
        _row("cores of a node", f"{plan.node_load.cores:.2f} without headroom, 1 at most"),
        _row("memory of a node", f"{size(plan.node_bytes)}, sockets in the kernel included"),
        _row("open files of a node", f"{plan.files_per_node:,}"),
    ]
    for name, amount in plan.server_bytes.items():
        cores = getattr(plan.server_load, _LOADS[name])
        found.append(_row(name, f"{cores:.2f} cores, {size(amount)}"))
    storage = plan.storage
    return [
        *found,
        _row(
            f"{storage.database}, a month",
            f"{storage.rows_per_month:,.0f} messages, {size(storage.bytes_per_month)}",
        ),
        _row(
            f"after {target.history_days:,} days",
            f"{size(storage.data_bytes)}; a disk of {size(storage.disk_bytes)}",
        ),
        _row(
            "traffic to clients",
            f"{plan.traffic.bytes_per_second * 8 / 1e6:,.1f} Mbit/s, "
            f"{size(plan.traffic.bytes_per_month)} a month",
        ),
    ]


def _cost(plan: Plan, prices: Prices, budget: float) -> list[str]:
    found = [f"What it costs a month (prices of {prices.date}: {prices.note})"]
    for name, cost in plan.costs.items():
        if cost > 0:
            found.append(f"  {cost:>9,.2f} {prices.currency}  {name}")
    found.append(f"  {plan.month:>9,.2f} {prices.currency}  together")
    return [*found, "  " + budget_line(plan, prices, budget)]


def _sources(calibration: Calibration, plan: Plan) -> Iterable[str]:
    yield (
        f"Measured on {calibration.machine}, {calibration.measured_at}, with "
        f"{calibration.connections:,} connections of one node (repeated measurements were "
        f"{calibration.spread:.0%} apart):"
    )
    yield _row("an idle connection", f"{calibration.connection_bytes:,.0f} bytes")
    yield _row("a delivery", f"{delivery_seconds(calibration, 1) * 1e6:.1f} µs")
    yield _row("the same, 16 in a write", f"{delivery_seconds(calibration, 16) * 1e6:.1f} µs")
    yield _row("a message", f"{calibration.message_seconds * 1e6:.0f} µs")
    yield _row("a commit", f"{calibration.commit_seconds * 1e6:.0f} µs")
    yield _row("a connection that returns", f"{calibration.return_seconds * 1e6:.0f} µs")
    if not plan.embedded:
        _, measured = servers_of(calibration)
        if not measured:
            yield (
                "Not measured here: what NATS, Valkey and PostgreSQL cost. Taken from "
                "a calibration of STORM's machine of reference, stretched to the speed of this one."
            )


def _warnings(target: Target, calibration: Calibration, plan: Plan) -> Iterable[str]:
    found = []
    if plan.files_per_node > _MANY_FILES:
        found.append(
            f"Each node needs {plan.files_per_node:,} open files (ulimit -n, LimitNOFILE=): "
            "'storm doctor' says what this machine allows."
        )
    if target.connections > _MANY_PORTS:
        found.append("The kernel's settings for so many connections stand in docs/kernel.md.")
    if calibration.quick:
        found.append("The calibration was a quick one: it is rough.")
    if calibration.spread > 1:
        found.append("Measurements were far apart: this machine did other work meanwhile.")
    if found:
        yield ""
        yield from (f"- {warning}" for warning in found)
