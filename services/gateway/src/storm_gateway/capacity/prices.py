"""Machines and what they cost a month, from a TOML file that people edit."""

from importlib.resources import files
from pathlib import Path

import msgspec

from storm_gateway.capacity.errors import CapacityError


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of machine that can be had."""

    name: str
    cores: int
    memory_gib: float
    month: float
    """Its price."""
    disk_gib: float = 0
    """That comes with it."""
    traffic_gib: float = 0
    """That comes with it, outgoing, a month."""

    @property
    def memory_bytes(self) -> float:
        """Its memory."""
        return self.memory_gib * 1024**3


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price table. Prices are a month's."""

    currency: str
    date: str
    note: str
    disk_gib: float
    """A GiB of disk beyond what comes with a machine."""
    traffic_gib: float
    """A GiB of outgoing traffic beyond what comes with the machines."""
    balancer: float
    """What spreads clients over several machines with nodes."""
    machine: tuple[Machine, ...]


def default_text() -> str:
    """The table that comes with STORM, as people may edit it."""
    return files("storm_gateway.capacity").joinpath("prices.toml").read_text(encoding="utf-8")


def read(path: Path | None) -> Prices:
    """A price table; None: the one that comes with STORM. Raises :class:`CapacityError`."""
    if path is None:
        return parse(default_text(), "prices.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CapacityError(f"the prices cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Prices:
    """Raises :class:`CapacityError` that says what is wrong where."""
    try:
        found = msgspec.toml.decode(text, type=Prices)
    except (msgspec.DecodeError, ValueError) as error:
        raise CapacityError(
            f"{name}: {error}; 'storm capacity --write-prices -' shows one"
        ) from None
    amounts = [("disk_gib", found.disk_gib), ("traffic_gib", found.traffic_gib)]
    amounts.append(("balancer", found.balancer))
    if not found.machine:
        raise CapacityError(f"{name}: it has no [[machine]]")
    for machine in found.machine:
        where = f"machine {machine.name!r}: "
        if machine.cores < 1 or not 0 < machine.memory_gib < 1e6:
            raise CapacityError(f"{name}: {where}cores and memory_gib must be above 0")
        amounts.append((f"{where}month", machine.month))
        amounts.append((f"{where}disk_gib", machine.disk_gib))
        amounts.append((f"{where}traffic_gib", machine.traffic_gib))
    for what, amount in amounts:
        if not 0 <= amount < 1e12:
            raise CapacityError(f"{name}: {what} cannot be {amount}")
    return found
