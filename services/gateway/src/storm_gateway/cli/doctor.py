"""``storm doctor``: how many connections this machine holds, and what limits it."""

import os
import sys
from typing import Annotated

import msgspec
import typer

from storm_gateway.cli.common import FAILED, load_config, say
from storm_gateway.cli.machine import Facts, facts
from storm_gateway.cli.verdicts import Capacity, Grade, Verdict, capacity, verdicts

_SIGNS: dict[Grade, tuple[str, int]] = {
    "good": ("ok  ", 32),
    "note": ("note", 33),
    "bad": ("BAD ", 31),
}


def report(found: list[Verdict], holds: Capacity, *, colour: bool) -> list[str]:
    """For people."""
    lines = []
    width = max(len(verdict.name) for verdict in found)
    for verdict in found:
        sign, number = _SIGNS[verdict.grade]
        if colour:
            sign = f"\x1b[{number}m{sign}\x1b[0m"
        lines.append(f"{sign}  {verdict.name:<{width}}  {verdict.value}")
        if verdict.advice:
            lines.append(f"      {'':<{width}}  {verdict.advice}")
    lines.append("")
    lines.append(f"One node on this machine holds {holds.connections:,} connections.")
    lines.append(f"The limit is the {holds.limited_by}: {holds.remedy}.")
    others = sorted((count, name) for name, count in holds.bounds.items())[1:]
    if others:
        count, name = others[0]
        lines.append(f"After that: {name}, {count:,}.")
    return lines


def as_json(looked_at: Facts, found: list[Verdict], holds: Capacity) -> bytes:
    """For programs."""
    return msgspec.json.encode({"facts": looked_at, "verdicts": found, "capacity": holds})


def doctor(
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say how many connections this machine holds and what limits it.

    Exit status 1 when something is bad.
    """
    looked_at = facts(load_config().max_connections)
    found, holds = verdicts(looked_at), capacity(looked_at)
    if json:
        say(as_json(looked_at, found, holds).decode())
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in report(found, holds, colour=colour):
            say(line)
    if any(verdict.grade == "bad" for verdict in found):
        raise typer.Exit(FAILED)
