# ruff: noqa: S603, S607 what is started here is ours or the system's
"""The stack starts, keeps and ends all its servers together, and keeps its secrets."""

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from stack_harness import ask, lives, living_under, shown, until

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.process import Server
from storm_gateway.stack.stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """The three servers; not started."""
    servers = Stack(tmp_path / "stack", nodes=0)
    yield servers
    servers.stop()
    assert not living_under(tmp_path), "something is left running"


async def test_stack_keeps_data_passwords_and_ports_over_restarts(
    stack: Stack, tmp_path: Path
) -> None:
    stack.start()
    settings = stack.settings
    connection = await asyncpg.connect(stack.postgres.url)
    await connection.execute("CREATE TABLE kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ('here')")
    await connection.close()
    stack.stop()

    with Stack(tmp_path / "stack", nodes=0) as again:
        assert again.settings == settings
        connection = await asyncpg.connect(again.postgres.url)
        assert await connection.fetchval("SELECT word FROM kept") == "here"
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        order = "SELECT datcollate FROM pg_database WHERE datname = 'storm'"
        assert await connection.fetchval(order) == "C"
        await connection.close()


async def test_servers_let_nobody_in_without_the_password(stack: Stack) -> None:
    stack.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stack.postgres.url.replace(stack.postgres.password, "another"))
    assert b"-NOAUTH" in ask(stack.valkey.port, b"GET key\r\n")
    assert b"Authorization Violation" in ask(stack.nats.port, b'CONNECT {"verbose":true}\r\n')
    # With it they do.
    said = f"AUTH {stack.valkey.password}\r\nPING\r\n".encode()
    assert b"+PONG" in ask(stack.valkey.port, said)
    said = f'CONNECT {{"user":"storm","pass":"{stack.nats.password}"}}\r\nPING\r\n'.encode()
    assert b"PONG" in ask(stack.nats.port, said)


def test_secrets_are_in_files_that_only_their_owner_reads_and_nowhere_else(
    stack: Stack, tmp_path: Path
) -> None:
    stack.start()
    secrets = {
        stack.secret,
        stack.nats.password,
        stack.valkey.password,
        stack.postgres.password,
    }
    assert len(secrets) == 4
    assert all(len(secret) >= 32 for secret in secrets)
    assert stack.folder.stat().st_mode & 0o077 == 0
    for path in stack.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(stack.postgres.data):
            text = path.read_text(errors="replace")
            if any(secret in text for secret in secrets):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                assert path.suffix != ".log"
    seen = shown()
    assert str(stack.folder) in seen
    assert not [secret for secret in secrets if secret in seen]
    for server in stack.servers:
        assert not [secret for secret in secrets if secret in server.public_url]  # type: ignore[attr-defined]


def test_shell_that_reads_the_environment_file_has_the_settings(stack: Stack) -> None:
    stack.start()
    ran = subprocess.run(
        ["sh", "-c", f". '{stack.environment_path}'; env"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name, value in stack.settings.items():
        assert f"{name}={value}" in ran.stdout.splitlines()


def test_settings_are_quoted_for_shells(tmp_path: Path) -> None:
    odd = "it's; echo $HOME"
    stack = Stack(tmp_path, nodes=0, embedded=True, settings={"STORM_NODE_NAME": odd})
    with stack:
        command = f". '{stack.environment_path}'; printf %s \"$STORM_NODE_NAME\""
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout == odd


def test_second_owner_of_a_folder_is_refused_and_harms_nothing(stack: Stack) -> None:
    stack.start()
    second = Stack(stack.folder, nodes=0)
    with pytest.raises(StackError, match=f"is in use by process {os.getpid()}: end that one"):
        second.start()
    assert stack.died() is None
    assert all(server.answers() for server in stack.servers)
    stack.stop()
    with second:
        assert second.died() is None


def test_what_a_killed_owner_left_is_ended_before_the_next_start(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from storm_gateway.stack.stack import Stack\n"
        f"Stack(Path({str(tmp_path)!r}), nodes=0).start(); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()
    left = living_under(tmp_path)
    assert len(left) >= 3, "a killed owner cannot end what it started"
    with Stack(tmp_path, nodes=0) as stack:
        assert not [pid for pid in left if lives(pid)]
        assert stack.died() is None
    assert not living_under(tmp_path)


def test_first_server_that_dies_is_named_with_the_reason(stack: Stack) -> None:
    stack.start()
    assert stack.died() is None
    stack.nats.kill()
    assert stack.died() is None, "it was killed on purpose"
    os.kill(stack.valkey.pid, signal.SIGTERM)
    until(stack.died, "the death is noticed")
    why = stack.died()
    assert why is not None
    assert why.startswith("valkey ended with status 0.\n")
    assert "SIGTERM" in why, "the log says it"


def test_nothing_runs_when_one_server_cannot_start(stack: Stack, tmp_path: Path) -> None:
    stack.postgres.settings["no_such_setting"] = "1"
    with pytest.raises(StackError, match=r"^postgres ended with status 1\.\n.*no_such_setting"):
        stack.start()
    assert not living_under(tmp_path)
    del stack.postgres.settings["no_such_setting"]
    stack.start()
    assert stack.died() is None


@pytest.mark.parametrize("begun", ["postgres", "nats"])
def test_start_that_is_ended_in_the_middle_leaves_nothing(
    stack: Stack, tmp_path: Path, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            stack.start()
        except StackError as error:
            raised.append(error)

    starting = threading.Thread(target=start)
    with monkeypatch.context() as slow:
        # However fast the machine is: it does not answer before the end comes.
        slow.setattr(getattr(stack, begun), "answers", lambda: False)
        starting.start()
        until(lambda: begun in stack.waiting or not starting.is_alive(), "it is being started")
        stack.stop()
        starting.join()
    assert raised
    assert not living_under(tmp_path)
    stack.start()
    assert stack.died() is None


def test_start_that_begins_only_after_its_end_does_not_begin(stack: Stack, tmp_path: Path) -> None:
    told = threading.Event()
    told.set()
    stack.stop()
    with pytest.raises(StackError, match="the end has begun"):
        stack.start(unless=told)
    assert not living_under(tmp_path)


def test_each_server_is_told_when_it_answers(stack: Stack) -> None:
    told: list[str] = []

    def tell(server: Server, seconds: float) -> None:
        assert server.answers()
        assert seconds > 0
        told.append(server.name)

    stack.start(tell)
    assert sorted(told) == ["nats", "postgres", "valkey"]
    assert not stack.waiting


def test_postgres_has_connections_for_all_nodes_twice(tmp_path: Path) -> None:
    many = Stack(tmp_path / "many", nodes=40)
    assert int(many.postgres.settings["max_connections"]) >= 400
    wide = Stack(tmp_path / "wide", nodes=4, settings={"STORM_DATABASE_CONNECTIONS": "50"})
    assert int(wide.postgres.settings["max_connections"]) >= 408


def test_embedded_node_gets_the_settings_given_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_PAYLOAD_CHARACTERS", "no number")
    stack = Stack(tmp_path, nodes=1, embedded=True, settings={"STORM_ADMINS": "alice"})
    stack.nodes[0].settings["STORM_ADMINS"] = "bob"
    with stack:
        (node,) = stack.nodes
        assert node.answers()
        given = node.environment()
        assert given["STORM_ADMINS"] == "bob", "its own settings win"
        assert "STORM_PAYLOAD_CHARACTERS" not in given
        assert given["STORM_JWT_SECRET"] == stack.secret
        assert "STORM_NATS_URL" not in given
        assert stack.secret not in node.log_path.read_text()
    assert not living_under(tmp_path)
