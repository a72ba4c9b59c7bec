"""A restored backup: clients are told that it is another database, and never keep a hole."""
# ruff: noqa: ASYNC110, S603 what is started is ours; a client is watched from outside

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import Process, token

from storm_gateway.client import GatewayClient, Rewound
from storm_gateway.protocol.events import MessageEvent

StartProcess = Callable[..., Awaitable[Process]]


def try_storm(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "storm_gateway", *words, "--data-dir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


def storm(folder: Path, *words: str) -> str:
    done = try_storm(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def say(node: Process, *texts: str) -> None:
    for text in texts:
        await node.want("bob", "POST", "/channels/1/messages", json={"payload": text})


async def test_who_was_ahead_of_a_restored_backup_starts_anew_where_it_ends(
    start_process: StartProcess, tmp_path: Path
) -> None:
    folder, backup = tmp_path / "data", tmp_path / "backup.db"
    node = await start_process(data_dir=folder)
    await say(node, "kept")
    with sqlite3.connect(folder / "storm.db") as source, sqlite3.connect(backup) as copy:
        source.backup(copy)
    source.close()
    copy.close()

    heard: list[str] = []
    rewound: list[Rewound] = []

    async def listen(client: GatewayClient) -> None:
        async for event in client.events():
            if isinstance(event, MessageEvent):
                heard.append(event.payload)
            elif isinstance(event, Rewound):
                rewound.append(event)

    async def until(text: str) -> None:
        async with asyncio.timeout(30):
            while text not in heard:
                await asyncio.sleep(0.02)

    async with GatewayClient(node.url, token=token("alice")) as client:
        await client.subscribe(1)
        listening = asyncio.create_task(listen(client))
        await say(node, "lost 1", "lost 2", "lost 3")
        await until("lost 3")
        port = node.port
        node.terminate()
        assert await node.exit_status() == 0

        before = storm(folder, "epoch", "show")
        for suffix in ("", "-wal", "-shm"):
            (folder / f"storm.db{suffix}").unlink(missing_ok=True)
        shutil.copy(backup, folder / "storm.db")
        assert storm(folder, "epoch", "show") == before
        assert storm(folder, "epoch", "new") != before

        again = await start_process(data_dir=folder, addr=f"127.0.0.1:{port}")
        # The new log takes the numbers that the client knows already.
        await say(again, "new 1", "new 2", "new 3", "new 4")
        async with asyncio.timeout(30):
            while not rewound:
                await asyncio.sleep(0.02)
        await say(again, "after")
        await until("after")
        listening.cancel()
    (told,) = rewound
    assert told.channel_id == 1
    # What came before the client was back is read from the history that it was told to read anew.
    history = [each["payload"] for each in await again.history("alice", 1)]
    assert history == ["kept", "new 1", "new 2", "new 3", "new 4", "after"]
    missed = history[1 : told.head]
    assert heard == ["lost 1", "lost 2", "lost 3", *[t for t in history[1:] if t not in missed]]


async def test_since_above_the_head_is_answered_with_a_reset(
    start_process: StartProcess,
) -> None:
    node = await start_process()
    await say(node, "one")
    peer = await node.join("alice")
    peer.send("subscribe", channel_id=1, since=50, ref="s")
    told = await peer.until("subscribed")
    assert (told["head"], told["reset"]) == (1, True)
    await say(node, "two")
    assert (await peer.until("message"))["payload"] == "two"


async def test_a_running_node_ends_when_the_database_is_another_one(
    start_process: StartProcess, tmp_path: Path
) -> None:
    node = await start_process(data_dir=tmp_path / "data")
    peer = await node.join("alice", "/ws?channel_id=1")
    epoch = storm(tmp_path / "data", "epoch", "new")
    await peer.until("reconnect")
    # No manager may take it for an end that somebody wished for.
    assert await node.exit_status() == 1
    assert "another one" in node.log
    again = await start_process(data_dir=tmp_path / "data")
    peer = await again.open(headers={"Authorization": f"Bearer {token('alice')}"})
    assert (await peer.until("hello"))["epoch"] == epoch


@pytest.mark.parametrize("word", ["show", "new"])
def test_the_epoch_of_a_wrong_place_is_refused_and_nothing_is_made_there(
    tmp_path: Path, word: str
) -> None:
    refused = try_storm(tmp_path / "typo", "epoch", word)
    assert refused.returncode == 1
    assert "there is no database at" in refused.stderr
    assert not (tmp_path / "typo" / "storm.db").exists()


def test_a_database_that_lost_its_epoch_says_so_and_gets_another_one(tmp_path: Path) -> None:
    storm(tmp_path, "migrate")
    with sqlite3.connect(tmp_path / "storm.db") as database:
        database.execute("DELETE FROM meta")
    database.close()
    refused = try_storm(tmp_path, "epoch", "show")
    assert refused.returncode == 1
    assert "storm epoch new" in refused.stderr
    epoch = storm(tmp_path, "epoch", "new")
    assert storm(tmp_path, "epoch", "show") == epoch
