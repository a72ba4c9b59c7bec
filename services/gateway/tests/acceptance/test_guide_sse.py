"""The client of the guide for those who come from `EventSource`, against nodes that go away."""

import asyncio
import json
import re
import shutil
import socket
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Process, Server, token

GUIDE = Path(__file__).resolve().parents[4] / "docs/guides/from-sse.md"
GENERAL = 1

DRIVER = """
import readline from 'node:readline';
import { StormClient, mayReconnect } from './storm-client.mjs';

const say = (what) => console.log(JSON.stringify(what));
const client = new StormClient(process.env.URL, async () => process.env.TOKEN);
client.onmessage = (event) => say({ heard: event });
client.onstate = (state, detail) => say({ state, detail });
client.ongap = (channel, from, to) => say({ gap: [from, to] });
client.onreset = (channel) => say({ reset: channel });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { subscribe, send, codes } = JSON.parse(line);
  if (subscribe !== undefined) {
    client.subscribe(1, subscribe);
    client.connect();
  }
  if (codes) say({ codes: codes.map(mayReconnect) });
  if (send) client.send(1, send).then((ack) => say({ ack }), (e) => say({ failed: `${e}` }));
}
client.close();
"""


class Client:
    """The guide's client in Node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []

    def tell(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next thing it says that fits."""
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while line := await self._process.stdout.readline():
                self.said.append(json.loads(line))
                if fits(self.said[-1]):
                    return self.said[-1]
        raise AssertionError(f"the client ended after {self.said}")

    def heard(self) -> list[tuple[int, str]]:
        events = [what["heard"] for what in self.said if "heard" in what]
        return [(e["seq"], e["payload"]) for e in events if e["type"] == "message"]

    async def end(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._process.wait()


Start = Callable[..., Awaitable[Client]]


@pytest.fixture
async def start_client(tmp_path: Path) -> AsyncIterator[Start]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the client of the guide needs Node")
    whole = GUIDE.read_text("utf-8").partition("\n## The whole client\n")[2]
    found = re.search(r"```js\n(.*?)```", whole, re.DOTALL)
    assert found is not None
    (tmp_path / "storm-client.mjs").write_text(found[1], "utf-8")
    (tmp_path / "drive.mjs").write_text(DRIVER, "utf-8")
    processes = []

    async def start(server: Server, token: str) -> Client:
        environment = {"URL": f"ws://127.0.0.1:{server.port}/ws", "TOKEN": token}
        # Node 20 has a WebSocket behind a flag, which later versions still know.
        process = await asyncio.create_subprocess_exec(
            *(node, "--experimental-websocket", "--no-warnings", "drive.mjs"),
            cwd=tmp_path,
            env=environment,
            stdin=PIPE,
            stdout=PIPE,
        )
        processes.append(process)
        return Client(process)

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_the_client_of_the_guide_misses_nothing_over_restarts(
    start_process: Callable[..., Awaitable[Process]], start_client: Start, tmp_path: Path
) -> None:
    place = {"addr": f"127.0.0.1:{free_port()}", "data_dir": tmp_path / "data"}
    node = await start_process(**place)
    alice = await node.join("alice", "/ws?channel_id=1")
    await alice.say(GENERAL, "before")
    client = await start_client(node, token("page"))
    client.tell(subscribe=0)
    await client.until(lambda said: "heard" in said)
    client.tell(send="from the page")
    await client.until(lambda said: "ack" in said)

    # The node drains: the client waits as long as it was told, and what is sent meanwhile waits.
    node.terminate()
    told = await client.until(lambda said: said.get("state") == "waiting")
    assert told["detail"] <= 1_000  # `after_ms` lies within the drain
    assert await node.exit_status() == 0
    client.tell(send="while nobody was there")
    node = await start_process(**place)
    await client.until(lambda said: "ack" in said)

    # The node dies: what others say until the client is back comes then.
    await node.kill()
    await client.until(lambda said: said.get("state") == "waiting")
    node = await start_process(**place)
    alice = await node.join("alice", "/ws?channel_id=1")
    last = await alice.say(GENERAL, "while the page was away")
    await client.until(lambda said: said.get("heard", {}).get("seq") == last["seq"])

    stored = [(m["seq"], m["payload"]) for m in await node.history("alice", GENERAL)]
    assert [text for _, text in stored] == [
        "before",
        "from the page",
        "while nobody was there",
        "while the page was away",
    ]
    assert client.heard() == stored
    assert await client.end() == 0


async def test_the_client_of_the_guide_names_a_gap_and_says_what_is_refused(
    start_process: Callable[..., Awaitable[Process]], start_client: Start
) -> None:
    node = await start_process(replay_events=2)
    alice = await node.join("alice", "/ws?channel_id=1")
    for number in range(5):
        await alice.say(GENERAL, f"{number}")
    client = await start_client(node, token("page"))
    client.tell(codes=[1000, 1002, 1006, 1012, 4001, 4002, 4499, 4500, 4503])
    answer = await client.until(lambda said: "codes" in said)
    assert answer["codes"] == [False, False, True, True, True, True, True, False, False]
    client.tell(subscribe=0)
    named = await client.until(lambda said: "gap" in said)
    first, last = named["gap"]
    await client.until(lambda said: said.get("heard", {}).get("payload") == "4")
    # What it heard begins right after what was named.
    stored = [(m["seq"], m["payload"]) for m in await node.history("alice", GENERAL)]
    assert first == 1
    assert client.heard() == [(seq, text) for seq, text in stored if seq > last]
    client.tell(send="x" * 4_001)
    refused = await client.until(lambda said: "failed" in said)
    assert "payload_too_large" in refused["failed"]
