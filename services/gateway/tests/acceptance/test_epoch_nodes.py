"""A restored backup of PostgreSQL, under two nodes: they all see it, and no client has a hole."""
# ruff: noqa: ASYNC110, S603 what is started is ours; nodes and clients are watched from outside

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from harness import QUICK, SECRET, Server, token

from storm_gateway.client import GatewayClient, Rewound
from storm_gateway.client.backoff import Backoff
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.stack.programs import postgres
from storm_gateway.stack.stack import Stack
from storm_gateway.stack.workers import WorkersServer

WAIT_SECONDS = 90.0
CLIENTS = 6


class At(Server):
    """The address that the nodes share."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port


class Bot:
    """A client and all that it was told."""

    def __init__(self, url: str, user_id: str) -> None:
        self.client = GatewayClient(url, token=token(user_id), backoff=Backoff(0.1, 0.5))
        self.told: list[MessageEvent | Rewound] = []
        self._listening: asyncio.Task[None]

    async def start(self) -> None:
        await self.client.__aenter__()
        await self.client.subscribe(1)
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self.client.events():
            if isinstance(event, (MessageEvent, Rewound)):
                self.told.append(event)

    @property
    def heard(self) -> list[str]:
        return [event.payload for event in self.told if isinstance(event, MessageEvent)]

    @property
    def since_rewound(self) -> tuple[int, list[int]]:
        """The head that it was told last, and the seqs that came after."""
        last = max(i for i, event in enumerate(self.told) if isinstance(event, Rewound))
        told = self.told[last]
        assert isinstance(told, Rewound)
        after = [event.seq for event in self.told[last + 1 :] if isinstance(event, MessageEvent)]
        return told.head, after

    async def stop(self) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])
        await self.client.close()


class Cluster:
    """Two nodes, the servers that they need, and their clients."""

    def __init__(self, stack: Stack, workers: WorkersServer) -> None:
        self.stack = stack
        self.workers = workers
        self.at = At(workers.port)
        self.bots: list[Bot] = []

    def storm(self, *words: str) -> str:
        """A command with the settings of the nodes."""
        return self._run(sys.executable, "-m", "storm_gateway", *words)

    def dump(self, path: Path) -> None:
        self._run(postgres("pg_dump"), "--format=custom", f"--file={path}", self.stack.postgres.url)

    def restore(self, path: Path) -> None:
        self._run(
            postgres("pg_restore"),
            *("--clean", "--if-exists", "--single-transaction"),
            f"--dbname={self.stack.postgres.url}",
            str(path),
        )

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words,
            env={**os.environ, **self.stack.settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def bring_in(self, texts: list[str], path: Path) -> None:
        """Messages without a node."""
        rows = [{"user": "bob", "text": text, "time": "2026-01-01T00:00:00Z"} for text in texts]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.storm("import", "--channel", "general", str(path))

    @property
    def log(self) -> str:
        return self.workers.log_path.read_text()

    async def say(self, *texts: str) -> None:
        for text in texts:
            await self.at.want("bob", "POST", "/channels/1/messages", json={"payload": text})

    async def until(self, true: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not true():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(
                f"{self.log}\n{[(bot.client.epoch, bot.told) for bot in self.bots]}"
            ) from None

    async def all_hear(self, text: str) -> None:
        await self.until(lambda: all(text in bot.heard for bot in self.bots))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    quick = {f"STORM_{name.upper()}": str(value) for name, value in QUICK.items()}
    settings = {**quick, "STORM_LOG_FORMAT": "json", "STORM_JWT_SECRET": SECRET}
    made = Stack(tmp_path_factory.mktemp("stack"), nodes=2, addr="127.0.0.1:0", settings=settings)
    with made:
        yield made


@pytest.fixture
async def cluster(stack: Stack) -> AsyncIterator[Cluster]:
    assert stack.workers is not None
    made = Cluster(stack, stack.workers)
    made.bots = [Bot(made.at.url, f"alice{number}") for number in range(CLIENTS)]
    for bot in made.bots:
        await bot.start()
    yield made
    for bot in made.bots:
        await bot.stop()
    await made.at.leave()
    sys.stdout.write(made.log)


@pytest.mark.parametrize("running", [False, True], ids=["nodes stopped", "nodes running"])
async def test_a_restored_backup_leaves_no_client_of_two_nodes_a_hole_or_a_double(
    cluster: Cluster, tmp_path: Path, running: bool
) -> None:
    """Running nodes are against the rules, and the longest time in which one node has seen the
    other epoch and the other one not yet.
    """
    word, backup = "running" if running else "stopped", tmp_path / "backup"
    await cluster.say(f"{word}: kept")
    await cluster.all_hear(f"{word}: kept")
    await asyncio.to_thread(cluster.dump, backup)
    before = cluster.storm("epoch", "show")
    await cluster.say(*(f"{word}: lost {number}" for number in range(5)))
    await cluster.all_hear(f"{word}: lost 4")
    starts = cluster.log.count('"node is ready"')
    assert starts >= 2

    if not running:
        await asyncio.to_thread(cluster.workers.stop)
    await asyncio.to_thread(cluster.restore, backup)
    if not running:
        await asyncio.to_thread(cluster.storm, "migrate")
    # The new log takes the numbers that clients know already, and goes beyond them before they are
    # back: `since` alone shows nothing any more.
    new = [f"{word}: new {number}" for number in range(9)]
    if running:
        await cluster.say(*new)
    else:
        await asyncio.to_thread(cluster.bring_in, new, tmp_path / "new.jsonl")
    assert await asyncio.to_thread(cluster.storm, "epoch", "show") == before
    epoch = await asyncio.to_thread(cluster.storm, "epoch", "new")
    assert epoch != before
    if not running:
        await asyncio.to_thread(cluster.workers.start)

    await cluster.until(lambda: cluster.log.count('"node is ready"') == starts + 2)
    ended = cluster.log.count("is started again")
    assert ended == (2 if running else 0), cluster.log
    await cluster.until(lambda: all(bot.client.epoch == epoch for bot in cluster.bots))
    await cluster.until(lambda: all(bot.client.position(1) for bot in cluster.bots))
    await cluster.say(f"{word}: after")
    await cluster.all_hear(f"{word}: after")

    history = await cluster.at.history("alice0", 1)
    assert f"{word}: lost 0" not in [each["payload"] for each in history]
    for bot in cluster.bots:
        head, heard = bot.since_rewound
        assert heard == [each["seq"] for each in history if each["seq"] > head]
        assert len(set(bot.heard)) == len(bot.heard)
        assert all(f"{word}: lost {number}" in bot.heard for number in range(5))


async def test_nodes_see_another_epoch_while_nats_is_away(cluster: Cluster) -> None:
    """Who restores a backup has often lost more than the database."""
    seen = "this node drains and ends"
    before, starts = cluster.log.count(seen), cluster.log.count('"node is ready"')
    await asyncio.to_thread(cluster.stack.nats.kill)
    try:
        epoch = await asyncio.to_thread(cluster.storm, "epoch", "new")
        await cluster.until(lambda: cluster.log.count(seen) == before + 2)
    finally:
        await asyncio.to_thread(cluster.stack.nats.start)
    await cluster.until(lambda: cluster.log.count('"node is ready"') == starts + 2)
    await cluster.until(lambda: all(bot.client.epoch == epoch for bot in cluster.bots))
