"""What every facade of the store is built on."""

from dataclasses import dataclass

from storm_gateway.store.dialect import Dialect
from storm_gateway.store.group_commit import GroupCommit
from storm_gateway.store.reads import Reads
from storm_gateway.store.transaction import Settings


@dataclass(frozen=True, slots=True)
class Backend:
    """The writer, the readers, and what they are told."""

    commits: GroupCommit
    reads: Reads
    dialect: Dialect
    settings: Settings
