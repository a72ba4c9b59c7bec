"""The command line against a node: processes, pipes and a terminal, as people use them."""

import asyncio
import json
import logging
import os
import pty
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from client_relay import Relay
from harness import SECRET, Node, Process, token
from typer.testing import CliRunner

from storm_gateway.cli.main import app
from storm_gateway.protocol.close_codes import CloseCode

Processes = Callable[..., Awaitable[Process]]
PASSWORD = "correct horse battery"


class Storm:
    """The ``storm`` command with the settings of one node.

    ``run`` runs it in this process, on another thread; ``start`` as a process of its own.
    """

    def __init__(self, data_dir: Path, url: str) -> None:
        self.environment = {
            "STORM_DATA_DIR": str(data_dir),
            "STORM_JWT_SECRET": SECRET,
            "STORM_URL": url,
        }
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "storm_gateway", *arguments),
            env={**os.environ, **self.environment, **options.pop("environment", {})},
            **{**pipes, "stderr": asyncio.subprocess.PIPE, **options},
        )
        self.running.append(process)
        return process

    async def run(
        self, *arguments: str, text: str = "", **environment: str
    ) -> tuple[int, str, str]:
        """Exit status, output, errors."""
        result = await asyncio.to_thread(
            CliRunner().invoke,
            *(app, arguments),
            input=text,
            env={**self.environment, **environment},
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result.exit_code, result.stdout, result.stderr

    async def good(self, *arguments: str, text: str = "", **environment: str) -> str:
        status, out, errors = await self.run(*arguments, text=text, **environment)
        assert status == 0, errors
        return out

    async def stop(self) -> None:
        for process in self.running:
            if process.returncode is None:
                process.kill()
            # Also of those that ended by themselves: their pipes are closed by it.
            await process.communicate()


@pytest.fixture
async def storm(node: Node) -> AsyncIterator[Storm]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    storm = Storm(node.config.data_dir, node.url)
    yield storm
    await storm.stop()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


async def lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    assert process.stdout is not None
    seen = []
    async with asyncio.timeout(60):
        while raw := await process.stdout.readline():
            seen.append(raw.decode().rstrip("\n"))
            if text in seen[-1]:
                return seen[-1]
    raise AssertionError(f"the output ended without {text!r}: {seen}")


async def test_a_user_is_added_beside_the_running_server_and_talks_with_a_password(
    node: Node, storm: Storm
) -> None:
    out = await storm.good("user", "add", "alice", "--password-stdin", text=PASSWORD + "\n")
    assert out == "added alice\n"
    sent = await storm.good(
        *("send", "general", "Hello", "world", "--user", "alice", "--password-stdin"),
        text=PASSWORD,
    )
    assert sent == "seq 1\n"
    (row,) = await node.history("bob", 1)
    assert (row["user_id"], row["payload"]) == ("alice", "Hello world")
    status, _, errors = await storm.run(
        *("send", "1", "x", "--user", "alice", "--password-stdin"), text="wrong password"
    )
    assert status == 1
    assert "storm: " in errors
    assert "Traceback" not in errors


async def test_a_token_from_the_command_line_opens_everything_that_a_login_does(
    node: Node, storm: Storm
) -> None:
    status, out, errors = await storm.run("token", "robot")
    assert (status, out) == (1, "")
    assert "no user 'robot'" in errors
    made = (await storm.good("token", "robot", "--service")).strip()
    assert await storm.good("send", "#general", "beep", STORM_TOKEN=made) == "seq 1\n"
    assert await storm.good("send", "1", "boop", "--token-stdin", text=made) == "seq 2\n"
    expired = (await storm.good("token", "robot", "--expires", "1s")).strip()
    await asyncio.sleep(1.1)
    status, _, errors = await storm.run("send", "general", "late", STORM_TOKEN=expired)
    assert status == 1
    assert "expired" in errors
    assert expired not in errors
    assert [row["payload"] for row in await node.history("robot", 1)] == ["beep", "boop"]


async def test_a_refused_message_says_why_and_fails(node: Node, storm: Storm) -> None:
    secret = await node.channel("bob", "secret", "private")
    for arguments, reason in (
        (("general", " "), "blank"),
        (("nowhere", "hi"), "there is: general"),
        ((str(secret), "hi"), "not_found"),
        (("general", "x" * 5_000), "payload_too_large"),
    ):
        status, out, errors = await storm.run("send", *arguments, "--as", "alice")
        assert (status, out) == (1, "")
        assert reason in errors


async def test_lines_of_a_pipe_become_messages_in_order(node: Node, storm: Storm) -> None:
    text = "".join(f"line {number}\n" for number in range(50)) + "\n  \n"
    _, _, told = await storm.run("send", "general", "-", "--as", "alice", text=text)
    assert told == "50 messages sent\n"
    rows = await node.history("alice", 1)
    assert [row["payload"] for row in rows] == [f"line {number}" for number in range(50)]


async def test_sending_gives_up_on_a_server_that_is_not_there(storm: Storm) -> None:
    options = ("--as", "alice", "--timeout", "1", "--url", "http://127.0.0.1:9")
    status, _, errors = await storm.run("send", "1", "x", *options)
    assert status == 1
    assert "no answer in 1 s" in errors


async def test_tail_shows_history_then_what_comes_and_neither_forges_nor_drives(
    node: Node, storm: Storm
) -> None:
    for number in range(5):
        body = {"payload": f"old {number}"}
        await node.want("alice", "POST", "/channels/1/messages", json=body)
    tail = await storm.start("tail", "general", "-n", "3", "--as", "bob")
    shown = await lines(tail, 3)
    assert [line.split("> ")[1] for line in shown] == ["old 2", "old 3", "old 4"]
    assert re.fullmatch(r"\d\d:\d\d:\d\d <alice> old 2", shown[0])
    await line_with(tail, "online: bob")
    await node.call(
        "alice", "POST", "/channels/1/messages", json={"payload": "evil \x1b[2J\n12:00:00 <bob> x"}
    )
    shown_line = await line_with(tail, "evil")
    assert shown_line.endswith("<alice> evil \\x1b[2J ⏎ 12:00:00 <bob> x")


async def test_tail_in_json_prints_events_that_programs_can_read(storm: Storm) -> None:
    tail = await storm.start("tail", "1", "--json", "-n", "0", "--as", "bob")
    await line_with(tail, '"presence"')
    await storm.good("send", "general", "Ünïcödé \x1b[0m", "--as", "alice")
    raw = await line_with(tail, '"message"')
    assert raw.isascii()
    assert json.loads(raw)["payload"] == "Ünïcödé \x1b[0m"


async def test_tail_survives_a_killed_server_without_loss_or_doubling(
    start_process: Processes, tmp_path: Path
) -> None:
    first = await start_process()
    async with Relay(first.port) as relay:
        storm = Storm(tmp_path / "data", relay.url)
        tail = await storm.start("tail", "general", "--as", "bob")
        await line_with(tail, "online: bob")
        await first.want("alice", "POST", "/channels/1/messages", json={"payload": "before"})
        assert (await line_with(tail, "<alice>")).endswith("before")
        await first.kill()
        await line_with(tail, "— disconnected: ")
        second = await start_process()
        await second.want("alice", "POST", "/channels/1/messages", json={"payload": "meanwhile"})
        relay.target = second.port
        await line_with(tail, "connected again")
        assert (await line_with(tail, "<alice>")).endswith("meanwhile")
        await second.want("alice", "POST", "/channels/1/messages", json={"payload": "after"})
        assert (await line_with(tail, "<alice>")).endswith("after")
        await storm.stop()


async def test_tail_ends_with_the_channel(node: Node, storm: Storm) -> None:
    channel = await node.channel("bob", "short-lived")
    tail = await storm.start("tail", "short-lived", "--as", "alice")
    await line_with(tail, "online")
    await node.want("bob", "DELETE", f"/channels/{channel}")
    assert "deleted the channel" in await line_with(tail, "deleted")
    async with asyncio.timeout(10):
        assert await tail.wait() == 1


async def test_on_a_terminal_one_can_type_and_is_seen(node: Node, storm: Storm) -> None:
    ours, theirs = pty.openpty()
    environment = {"TERM": "xterm", "COLUMNS": "80"}
    tail = await storm.start(
        *("tail", "general", "--as", "alice"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        environment=environment,
    )
    os.close(theirs)
    screen = b""

    async def seen(text: str) -> None:
        nonlocal screen
        async with asyncio.timeout(30):
            while text.encode() not in screen:
                screen += await asyncio.to_thread(os.read, ours, 65_536)

    await seen("#general> ")
    os.write(ours, "Grüße\n".encode())
    await seen("malice\x1b[0m Grüße")
    bob = await node.join("bob", "/ws?channel_id=1")
    bob.send("typing", channel_id=1)
    await seen("bob is typing")

    def type_in(keys: bytes) -> None:
        while keys:  # a terminal takes 4 KiB at a time
            keys = keys[os.write(ours, keys) :]

    # A line longer than a message may be, a line taken back, and the end.
    typed = asyncio.create_task(asyncio.to_thread(type_in, b"x" * 5_000 + b"\n" + b"\x15 \n\x04"))
    # Each character is echoed, through a terminal that this busy process has to empty.
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(tail.wait())
        while not waiting.done():
            try:
                screen += await asyncio.to_thread(os.read, ours, 65_536)
            except OSError:
                break
        await typed
        await waiting
    os.close(ours)
    rows = await node.history("alice", 1)
    assert [row["payload"] for row in rows if row["user_id"] == "alice"] == [
        "Grüße",
        "x" * 4_000,
    ]


async def test_history_is_imported_beside_the_running_server_and_read_through_it(
    node: Node, storm: Storm, tmp_path: Path
) -> None:
    file = tmp_path / "old.jsonl"
    rows = [
        {"channel": "past", "time": f"2006-06-01T11:{n // 60:02}:{n % 60:02}Z", "user": f"u{n % 7}"}
        | {"text": f"message {n}"}
        for n in range(2_500)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = await storm.good("import", str(file))
    assert out.startswith("2,500 messages imported, 0 were there already")
    again = await storm.good("import", str(file), "--format", "jsonl")
    assert again.startswith("0 messages imported, 2,500 were there already")
    (channel,) = [c for c in await node.want("bob", "GET", "/channels") if c["name"] == "past"]
    found = await node.history("bob", channel["id"])
    assert [row["payload"] for row in found] == [row["text"] for row in rows]
    assert [row["user_id"] for row in found] == [row["user"] for row in rows]
    assert found[61]["created_at"].startswith("2006-06-01T11:01:01")


async def test_a_password_that_is_changed_on_the_command_line_is_the_one_that_holds(
    node: Node, storm: Storm
) -> None:
    await storm.good("user", "add", "alice", "--password-stdin", "--admin", text=PASSWORD)
    out = await storm.good("user", "passwd", "alice", "--password-stdin", text="another password")
    assert "changed" in out
    for password, status in ((PASSWORD, 401), ("another password", 200)):
        body = {"user_id": "alice", "password": password}
        answer = await node.call(None, "POST", "/auth/login", json=body)
        assert answer.status_code == status
    listed = await storm.good("user", "list")
    assert re.fullmatch(r"alice\t\S+\tadmin\talice\n", listed)
    assert "no server administrator" in await storm.good("user", "admin", "alice", "--off")


async def test_a_password_changed_on_the_command_line_ends_the_logins_of_running_nodes(
    node: Node, storm: Storm
) -> None:
    await storm.good("user", "add", "alice", "--password-stdin", text=PASSWORD)
    alice, bob = await node.join("alice"), await node.join("bob")
    old = {"Authorization": f"Bearer {token('alice')}"}
    assert (await node.call(None, "GET", "/auth/me", headers=old)).status_code == 200
    await storm.good("user", "passwd", "alice", "--password-stdin", text="another password")
    assert (await alice.closed()).code == CloseCode.AUTHENTICATION_FAILED
    assert (await node.call(None, "GET", "/auth/me", headers=old)).status_code == 401
    assert (await bob.ask("ping"))["type"] == "pong"


async def test_serving_on_an_address_that_is_taken_says_so_and_fails(
    node: Node, storm: Storm
) -> None:
    process = await storm.start("serve", "--addr", f"127.0.0.1:{node.port}")
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{node.port}" in errors.decode()


async def test_a_token_never_reaches_the_servers_log(
    start_process: Processes, tmp_path: Path
) -> None:
    node = await start_process(log_level="debug")
    made = token("alice")
    await Storm(tmp_path / "data", node.url).good("send", "general", "hi", STORM_TOKEN=made)
    peer = await node.open(f"/ws?token={made}")
    await peer.until("hello")
    assert "listens on" in node.log
    assert made not in node.log
