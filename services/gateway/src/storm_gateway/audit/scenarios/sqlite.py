"""One node on the embedded default, whose disk is full or that is killed while it writes."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pysqlite3

from storm_gateway.audit.scenario import LoadPlan, Scenario, scenario
from storm_gateway.audit.scenarios.tools import (
    accepted_soon,
    expect_sockets_stayed,
    green,
    red,
    stays_red,
)
from storm_gateway.stack import disk
from storm_gateway.stack.disk import SmallDisk, limit_files

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.stack.stack import Stack

_ALL_BACK_SECONDS = 30.0
"""Clients come back within seconds of the node's start."""

_FULL_SECONDS = 5.0
"""Longer than a node believes its last refused commit: then it has to find out by itself."""


@scenario
class SqliteKilled(Scenario):
    """After each kill the file is whole, and holds all that was acknowledged."""

    name = "sqlite-killed"
    title = "A node on SQLite is killed at random moments"
    reference = "F16"
    short = True
    seconds = 8
    embedded = True
    load = replace(LoadPlan(), rate=200.0)
    times = 3

    async def run(self, arena: "Arena") -> None:
        await arena.steady(1)
        node = arena.stack.nodes[0]
        database = _database(node.folder / "data")
        for turn in range(self.times):
            async with arena.fault(f"{node.name} killed"):
                await arena.call(node.kill)
                said = await arena.call(_check, database)
                arena.expect(said == "ok", f"integrity_check after kill {turn + 1}: {said}")
                await arena.call(node.start)
            await arena.acks_again(seconds=10)
            # There is no other node to go to: killed again at once, it would measure its own kills.
            await arena.until(
                lambda: arena.load.connected == arena.load.clients,
                f"all clients are back after kill {turn + 1}",
                seconds=_ALL_BACK_SECONDS,
            )
            await asyncio.sleep(arena.random.uniform(0.1, 0.8))
        arena.figure("kills with a whole file afterwards", self.times)


@scenario
class SqliteKilled200(SqliteKilled):
    """The same, 200 times."""

    name = "sqlite-killed-200-times"
    title = "A node on SQLite is killed at 200 random moments"
    short = False
    seconds = 60
    times = 200


def _database(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.suffix in (".db", ".sqlite"))


def _check(path: Path) -> str:
    with contextlib.closing(pysqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


class _Full(Scenario):
    """No space; what was acknowledged is there, what does not fit is refused."""

    reference = "F15"
    seconds = 7
    embedded = True
    load = replace(LoadPlan(), payload_characters=2_000)

    async def fill(self, arena: "Arena") -> None:
        """No more space."""
        raise NotImplementedError

    async def empty(self, arena: "Arena") -> None:
        """Space again."""
        raise NotImplementedError

    async def run(self, arena: "Arena") -> None:
        await arena.steady(2)
        async with arena.fault("disk full") as fault:
            before = dict(arena.load.errors)
            await self.fill(arena)
            try:
                await arena.until(
                    lambda: (
                        arena.load.errors["unavailable"] > before.get("unavailable", 0)
                        or arena.load.errors["internal"] > before.get("internal", 0)
                    ),
                    "no send is refused although the disk is full",
                    seconds=20,
                )
                await red(arena)
                await stays_red(arena, _FULL_SECONDS)
            finally:
                await self.empty(arena)
        await accepted_soon(arena)
        await green(arena)
        expect_sockets_stayed(arena, fault)
        arena.expect(
            arena.load.errors["internal"] == before.get("internal", 0),
            "a full disk was told as an internal error",
        )
        arena.figure("errors answered", dict(arena.load.errors))
        await arena.steady(1)


@scenario
class SqliteFull(_Full):
    """A small disk with nothing left."""

    name = "sqlite-full"
    title = "The disk of a node on SQLite is full, and has space again"
    short = True

    def missing(self) -> str:
        return disk.missing()

    def make_stack(self, stack: "Stack") -> "Stack":
        small = self._disk(stack.folder)
        small.mount()
        stack.nodes[0].settings["STORM_DATA_DIR"] = str(small.folder)
        link = stack.nodes[0].folder / "data"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(small.folder.resolve())
        return stack

    def _disk(self, folder: Path) -> SmallDisk:
        return SmallDisk(folder / "disk", mebibytes=48)

    async def fill(self, arena: "Arena") -> None:
        await arena.call(self._disk(arena.stack.folder).fill)

    async def empty(self, arena: "Arena") -> None:
        await arena.call(self._disk(arena.stack.folder).empty)

    async def clean(self, folder: Path) -> None:
        await asyncio.to_thread(self._disk(folder).unmount)


@scenario
class SqliteFileLimit(_Full):
    """The same where nobody is root: its files may not grow (as `ulimit -f` does)."""

    name = "sqlite-file-limit"
    title = "The files of a node on SQLite may not grow any more, then they may"

    async def fill(self, arena: "Arena") -> None:
        node = arena.stack.nodes[0]
        # The smallest file that is still written to; what is longer already does not grow either.
        await arena.call(limit_files, node.pid, 64 * 1024)

    async def empty(self, arena: "Arena") -> None:
        await arena.call(limit_files, arena.stack.nodes[0].pid, None)
