"""`storm serve --workers N`: nodes on one address, with real NATS, Valkey and PostgreSQL."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from harness import QUICK, SECRET, WAIT_SECONDS, Peer, Server, all_of, token

from storm_gateway.client import GatewayClient
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.stack.stack import Stack

START_SECONDS = 60.0


class At(Server):
    """One address of the nodes: the shared one, or one of theirs."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port


class Workers:
    """`storm serve --workers N` as a process."""

    def __init__(self, folder: Path, settings: dict[str, str], count: int) -> None:
        self.folder = folder
        self.count = count
        self.settings = settings
        self.log_path = folder / f"log-{time.monotonic_ns()}"
        self.shared: At
        self.nodes: dict[str, At] = {}
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        with self.log_path.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "storm_gateway", "serve", "--workers", str(self.count)),
                env={**os.environ, **self.settings},
                stdout=log,
                stderr=log,
                # A killed supervisor's nodes are looked for in its log, not among its children.
                start_new_session=True,
            )
        await self.until(lambda: len(self.told("node is ready")) == self.count, START_SECONDS)
        for told in self.told("node is ready"):
            self.nodes[told["node"]] = At(port_of(told["node_addr"]))
        self.shared = At(port_of(told["addr"]))

    def told(self, event: str) -> list[dict[str, Any]]:
        """The records of the supervisor and of the nodes that hold this text."""
        rows = self.log_path.read_text().split("\n")[:-1]
        return [r for r in map(json.loads, rows) if event in r["event"]]

    def pid(self, node: str) -> int:
        """Of the process that is this node now."""
        pid: int = [r["pid"] for r in self.told("node is ready") if r["node"] == node][-1]
        return pid

    async def until(self, true: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    assert self.process.returncode is None, self.log_path.read_text()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(self.log_path.read_text()) from None

    async def exit_status(self) -> int:
        async with asyncio.timeout(START_SECONDS):
            return await self.process.wait()

    async def stop(self) -> None:
        for at in [*self.nodes.values(), self.shared]:
            await at.leave()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            assert await self.exit_status() == 0
        # Shown with a test that fails.
        sys.stdout.write(self.log_path.read_text())


def port_of(addr: str) -> int:
    return int(addr.rpartition(":")[2])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """NATS, Valkey and PostgreSQL."""
    stack = Stack(tmp_path_factory.mktemp("stack"), nodes=0, settings={"STORM_JWT_SECRET": SECRET})
    with stack:
        yield stack


@pytest.fixture
async def workers(
    request: pytest.FixtureRequest, servers: Stack, tmp_path: Path
) -> AsyncIterator[Workers]:
    """A test may give more settings, as the fixture's parameter."""
    quick = {f"STORM_{name.upper()}": str(value) for name, value in QUICK.items()}
    settings = {
        **quick,
        **servers.settings,
        "STORM_ADDR": "127.0.0.1:0",
        "STORM_NODE_NAME": "gate",
        "STORM_DATA_DIR": str(tmp_path / "data"),
        "STORM_LOG_FORMAT": "json",
        **getattr(request, "param", {}),
    }
    started = Workers(tmp_path, settings, 2)
    await started.start()
    yield started
    await started.stop()
    assert not (tmp_path / "data").exists()  # nodes beside others make no secret and no database


def node_of(peer: Peer) -> str:
    (hello,) = peer.of("hello")
    assert hello["connection_id"].startswith(hello["node"])
    return str(hello["node"])


async def test_nodes_on_one_port_share_connections_and_each_others_messages(
    workers: Workers,
) -> None:
    peers = await all_of(*(workers.shared.join(f"user{n}") for n in range(24)))
    assert {node_of(peer) for peer in peers} == {"gate-1", "gate-2"}
    one, other = workers.nodes["gate-1"], workers.nodes["gate-2"]
    alice, bob = await one.join("alice", "/ws?channel_id=1"), await other.join("bob")
    await bob.subscribe(1)
    assert (node_of(alice), node_of(bob)) == ("gate-1", "gate-2")
    ids = {peer.of("hello")[0]["connection_id"] for peer in [*peers, alice, bob]}
    assert len(ids) == len(peers) + 2
    there = await alice.say(1, "over there?")
    await bob.until("message", seq=there["seq"], payload="over there?")
    back = await bob.say(1, "here I am")
    await alice.until("message", seq=back["seq"], payload="here I am")
    for name, node in workers.nodes.items():
        text = (await node.http.get(f"{node.url}/metrics")).text
        rows = [row for row in text.splitlines() if not row.startswith("#")]
        assert all(f'node="{name}"' in row for row in rows)
    open_now = [await node.metric("storm_active_websockets") for node in workers.nodes.values()]
    assert sum(open_now) == len(peers) + 2
    assert {r["node"] for r in workers.told("listens on")} == {"gate-1", "gate-2"}


async def test_a_killed_node_comes_back_and_its_clients_miss_nothing(workers: Workers) -> None:
    one, other = workers.nodes["gate-1"], workers.nodes["gate-2"]
    cut, bob = await one.join("alice", "/ws?channel_id=1"), await other.join("bob")
    await bob.subscribe(1)
    last = await bob.say(1, "before")
    await cut.until("message", seq=last["seq"])
    killed = workers.pid("gate-1")
    os.kill(killed, signal.SIGKILL)
    await cut.ended()
    missed = [await bob.say(1, f"meanwhile {number}") for number in range(5)]
    # The shared address serves on, by the other one.
    again = await workers.shared.join("alice")
    assert node_of(again) == "gate-2"
    await again.subscribe(1, since=last["seq"])
    for ack in missed:
        await again.until("message", seq=ack["seq"])
    await workers.until(lambda: workers.pid("gate-1") != killed)
    (told,) = workers.told("started again")
    assert told["node"] == "gate-1"
    assert told["why"] == "killed by SIGKILL"
    home = await one.join("alice")
    assert node_of(home) == "gate-1"
    assert home.of("hello")[0]["connection_id"] != cut.of("hello")[0]["connection_id"]
    await home.subscribe(1, since=last["seq"])
    for ack in missed:
        await home.until("message", seq=ack["seq"])


async def test_a_rolling_restart_in_the_middle_of_a_conversation_loses_nothing(
    workers: Workers,
) -> None:
    before = {name: workers.pid(name) for name in workers.nodes}
    heard: dict[str, list[tuple[int, str]]] = {"bob": [], "carol": []}
    acked: list[tuple[int, str]] = []
    refused: list[Exception] = []
    done = asyncio.Event()

    async def speak(client: GatewayClient) -> None:
        number = 0
        while not done.is_set():
            ack = await client.send(1, f"word {number}")
            acked.append((ack.seq, f"word {number}"))
            number += 1
            await asyncio.sleep(0.002)

    async def listen(client: GatewayClient, name: str) -> None:
        async for event in client.events():
            if isinstance(event, MessageEvent) and event.user_id == "alice":
                heard[name].append((event.seq, event.payload))

    async def knock() -> None:
        """New connections, one after another: none is refused while nodes change."""
        while not done.is_set():
            try:
                async with httpx2.AsyncClient(trust_env=False, timeout=WAIT_SECONDS) as http:
                    (await http.get(f"{workers.shared.url}/healthz")).raise_for_status()
            except httpx2.HTTPError as error:
                refused.append(error)
            await asyncio.sleep(0.005)

    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(GatewayClient(workers.shared.url, token=token(user)))
            for user in ("alice", "bob", "carol")
        ]
        for client in clients[1:]:
            await client.subscribe(1)
        listening = [
            asyncio.create_task(listen(client, name))
            for client, name in zip(clients[1:], heard, strict=True)
        ]
        work = [asyncio.create_task(speak(clients[0])), asyncio.create_task(knock())]
        workers.process.send_signal(signal.SIGHUP)
        # A slow machine says less meanwhile: it goes on until it was a conversation.
        await workers.until(lambda: bool(workers.told("rolling restart done")) and len(acked) > 50)
        done.set()
        await asyncio.gather(*work)
        await workers.until(lambda: all(acked[-1] in events for events in heard.values()))
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
    assert len(acked) > 50
    for events in heard.values():
        assert [said for said in acked if said not in events] == []
        assert [said for said in events if said not in acked] == []
        assert events == acked
    assert refused == []
    after = {name: workers.pid(name) for name in workers.nodes}
    assert set(after.values()).isdisjoint(before.values())
    assert not workers.told("started again")


# Clients answer a close when they read on: until then there are draining nodes to look at.
@pytest.mark.parametrize("workers", [{"STORM_CLOSE_SECONDS": "60"}], indirect=True)
async def test_sigterm_lets_all_drain_and_each_tells_so_at_its_own_address(
    workers: Workers,
) -> None:
    peers = await all_of(*(workers.shared.join(f"user{n // 10}") for n in range(40)))
    peers += [await node.join("carol") for node in workers.nodes.values()]
    workers.process.send_signal(signal.SIGTERM)
    for node in workers.nodes.values():
        async with asyncio.timeout(WAIT_SECONDS):
            while (answer := await node.call(None, "GET", "/readyz")).status_code == 200:
                pass
        assert answer.json()["reasons"] == ["draining"]
        assert (await node.call(None, "GET", "/metrics")).status_code == 200
    # The kernel sends nobody to a node that leaves.
    with pytest.raises(ConnectionRefusedError):
        await workers.shared.tcp()
    ends = await all_of(*(peer.closed(30) for peer in peers))
    assert {end.code for end in ends} == {CloseCode.SERVICE_RESTART}
    assert all(peer.of("reconnect") for peer in peers)
    assert await workers.exit_status() == 0
    assert not workers.told("Traceback")


async def test_a_password_changed_on_the_command_line_ends_logins_at_all_nodes(
    workers: Workers,
) -> None:
    async def storm(*arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "storm_gateway", "user", *arguments, "--password-stdin"),
            env={**os.environ, **workers.settings},
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        _, errors = await process.communicate(b"correct horse battery\n")
        assert process.returncode == 0, errors.decode()

    await storm("add", "mallory")
    logins = await all_of(*(node.join("mallory") for node in workers.nodes.values()))
    others = await all_of(*(node.join("bob") for node in workers.nodes.values()))
    await storm("passwd", "mallory")
    for login in logins:
        assert (await login.closed()).code == CloseCode.AUTHENTICATION_FAILED
    for other in others:
        assert (await other.ask("ping"))["type"] == "pong"
