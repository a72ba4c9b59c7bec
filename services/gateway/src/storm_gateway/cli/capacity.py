"""``storm capacity``: what a target needs, and what it costs a month."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from storm_gateway.capacity import calibration as calibrations
from storm_gateway.capacity import prices as price_tables
from storm_gateway.capacity.calibration import Calibration
from storm_gateway.capacity.errors import CapacityError
from storm_gateway.capacity.plan import Plan, make_plan
from storm_gateway.capacity.target import Target, make_target, parse_rooms
from storm_gateway.capacity.text import lines
from storm_gateway.cli.common import fail, say, tell


def capacity(
    connections: Annotated[int, typer.Option(help="At the same time, in the busiest hour.")] = (
        100_000
    ),
    messages_per_second: Annotated[
        float | None,
        typer.Option(help="That people write. Default: one for 500 connections."),
    ] = None,
    room: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZExCOUNT[:SHARE%]",
            help="So many channels of that many connections, and their share of the messages; "
            "several times. Default: channels of 10.",
        ),
    ] = None,
    payload: Annotated[int, typer.Option(help="Bytes of a message.")] = 60,
    history_days: Annotated[int, typer.Option(help="Days that messages are kept.")] = 365,
    busy_hours: Annotated[float, typer.Option(help="Hours a day with so many messages.")] = 8.0,
    headroom: Annotated[float, typer.Option(help="Times what is calculated.")] = 2.0,
    frames_per_write: Annotated[
        float, typer.Option(help="Messages that one write gives a client: 1 at rest.")
    ] = 1.0,
    return_seconds: Annotated[
        float, typer.Option(help="Time in which everybody may come back at once.")
    ] = 600.0,
    spare: Annotated[int, typer.Option(help="Machines with nodes that may be away.")] = 1,
    files_per_node: Annotated[int, typer.Option(help="Files that a node may open.")] = 65_536,
    budget: Annotated[float, typer.Option(help="For a month, to compare with.")] = 700.0,
    prices: Annotated[
        Path | None, typer.Option(help="Your price table (TOML) instead of the example.")
    ] = None,
    write_prices: Annotated[
        bool, typer.Option("--write-prices", help="Print the example table and end.")
    ] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="A file of --save, instead of measuring.")
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Measure nothing: STORM's machine of reference.")
    ] = False,
    save: Annotated[Path | None, typer.Option(help="Keep what was measured in a file.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure less, and roughly.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say how many nodes, how much memory, how many cores and what database a target needs.

    Measures this machine for some seconds with a node of its own, and reckons from that.
    """
    if write_prices:
        say(price_tables.default_text().rstrip("\n"))
        return
    try:
        # All that people said is looked at before anything takes time.
        table = price_tables.read(prices)
        target = make_target(
            connections=connections,
            messages_per_second=messages_per_second,
            rooms=parse_rooms(room or []),
            payload_bytes=payload,
            history_days=history_days,
            busy_hours=busy_hours,
            headroom=headroom,
            frames_per_write=frames_per_write,
            return_seconds=return_seconds,
            spare_machines=spare,
            files_per_node=files_per_node,
        )
        costs = _costs(calibration, reference=reference, quick=quick)
        if save is not None:
            calibrations.write(costs, save)
            tell(f"wrote {save}")
        plan = make_plan(target, costs, table)
    except CapacityError as error:
        fail(str(error))
    if json:
        say(msgspec.json.encode(_as_json(target, costs, plan, budget)).decode())
    else:
        for line in lines(target, costs, plan, table, budget):
            say(line)


def _costs(path: Path | None, *, reference: bool, quick: bool) -> Calibration:
    if path is not None:
        return calibrations.read(path)
    if reference:
        return calibrations.reference()
    # Starting a node brings in nearly everything; what only reckons does without.
    from storm_gateway.calibrating.calibrate import calibrate

    with tempfile.TemporaryDirectory(prefix="storm-capacity-") as folder:
        measured, why_no_servers = asyncio.run(calibrate(Path(folder), tell, quick=quick))
    if why_no_servers:
        tell(f"NATS, Valkey and PostgreSQL were not measured: {why_no_servers}")
    return measured


def _as_json(target: Target, costs: Calibration, plan: Plan, budget: float) -> dict[str, Any]:
    asked = {
        **msgspec.structs.asdict(target),
        "deliveries_per_second": target.deliveries_per_second,
    }
    return {
        "target": asked,
        "plan": plan,
        "month": plan.month,
        "budget": budget,
        "under_budget": plan.month <= budget,
        "calibration": costs,
    }
