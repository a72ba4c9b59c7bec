"""``storm tail`` as one more listener."""

import asyncio
from collections.abc import Sequence
from typing import Self

import msgspec

from replaying.scene import Scene

HISTORY = 20
"""Messages of the past that it shows first."""


class Tail:
    """The process, and what it has shown so far."""

    def __init__(self, scene: Scene, process: asyncio.subprocess.Process) -> None:
        self.scene = scene
        self.process = process
        self.shown: list[tuple[str, str]] = []
        self._following = asyncio.create_task(self._follow())

    @classmethod
    async def start(cls, scene: Scene, channel_name: str) -> Self:
        """``storm tail`` of the channel, by a user of its own."""
        node = scene.node
        command = node.command(
            "tail", channel_name, "--json", "-n", str(HISTORY), "--url", node.url
        )
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**node.environment, "STORM_TOKEN": node.token("tail-reader")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1024 * 1024,
        )
        return cls(scene, process)

    async def stop(self) -> None:
        """End it."""
        self._following.cancel()
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()

    async def check(
        self, past: Sequence[tuple[str, str]], live: Sequence[tuple[int, str, str]]
    ) -> None:
        """It shows the end of the past, then all that was said live, in order."""
        outcome = self.scene.outcome
        wanted = [*past[-HISTORY:], *(message[1:] for message in live)]
        await outcome.wait_until(
            "storm tail shows everything", lambda: len(self.shown) >= len(wanted)
        )
        if self.shown != wanted:
            outcome.fault(f"storm tail showed {len(self.shown):,} of {len(wanted):,}, or others")
        outcome.figure("messages shown by storm tail, in order", f"{len(self.shown):,}")

    async def _follow(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 asked for
        while line := await self.process.stdout.readline():
            event = msgspec.json.decode(line)
            if event.get("type") == "message":
                self.shown.append((event["user_id"], event["payload"]))
        assert self.process.stderr is not None  # noqa: S101 asked for
        said = await self.process.stderr.read()
        self.scene.outcome.fault(f"storm tail ended: {said[-500:]!r}")
