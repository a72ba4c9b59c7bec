# ruff: noqa: S603 what is started here stands in the repository
"""nginx, HAProxy and Caddy, as deploy/proxies/ configures them, before real nodes; and nginx with
what the Ingress of deploy/kubernetes/ asks its controller for.
"""

import asyncio
import json
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets.asyncio.client
from ingress_proxy import Ingress, annotations, directives
from proxy_process import KINDS, Proxy, free_port, program
from rolling import BehindProxies
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shown import WAIT_SECONDS, Node
from storm_gateway.audit.run import Options, State, run_scenario
from storm_gateway.connections.keepalive import _ROUNDS

PERSON = {"user_id": "alice", "password": "correct horse"}
FASTER = 30
"""The clock of the test about silence: 3 minutes are 6 seconds."""
SILENCE_SECONDS = 180 / FASTER
NEVER = "86400"
OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
    *("-addext", "subjectAltName=DNS:localhost"),
)

Connection = websockets.asyncio.client.ClientConnection
Start = Callable[..., Proxy]


class Here(Node):
    """A node with settings of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir()
        said = (f"STORM_{name.upper()}={value}" for name, value in settings.items())
        self.command = ("env", *said, "storm", "serve")
        super().__init__(folder)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For localhost, signed by itself; with its key in one file."""
    folder = tmp_path_factory.mktemp("certificate")
    key, cert, both = (folder / name for name in ("key.pem", "cert.pem", "both.pem"))
    subprocess.run(
        [*OPENSSL, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return both


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start_node(cleanup: ExitStack, folder: Path, **settings: str) -> Here:
    node = Here(folder, **settings)
    cleanup.callback(node.stop)
    return node


def start_proxy(cleanup: ExitStack, proxy: Proxy) -> Proxy:
    if program(proxy.kind) is None:
        pytest.skip(f"{proxy.kind} is not here; `make test` fetches it on Debian and Ubuntu")
    cleanup.callback(proxy.stop)
    proxy.start()
    return proxy


def trust(proxy: Proxy) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(proxy.certificate))


def client(proxy: Proxy, address: str = "127.0.0.1") -> httpx2.Client:
    """One that comes from another address of this machine.

    It waits longer than any of them looks for a node that answers (Caddy: 5 s).
    """
    transport = httpx2.HTTPTransport(verify=trust(proxy), local_address=address)
    base = f"https://{proxy.address}"
    return httpx2.Client(base_url=base, transport=transport, timeout=WAIT_SECONDS)


def wait_for(proxy: Proxy) -> None:
    """Until it has seen that a node is well."""
    until = time.monotonic() + WAIT_SECONDS
    with client(proxy) as http:
        while http.get("/healthz").status_code != 200:
            assert time.monotonic() < until, proxy.said
            time.sleep(0.05)


def log_in(node: Node, person: dict[str, str] = PERSON) -> str:
    base = f"http://{node.address}"
    assert httpx2.post(f"{base}/auth/register", json=person).status_code == 201
    answer = httpx2.post(f"{base}/auth/login", json=person)
    return str(answer.json()["access_token"])


def connect(proxy: Proxy, token: str, **more: Any) -> websockets.asyncio.client.connect:
    """By wss, without pings of the client's own."""
    return websockets.asyncio.client.connect(
        f"wss://{proxy.address}/ws?channel_id=1",
        **{
            "additional_headers": {
                "Authorization": f"Bearer {token}",
                "Origin": f"https://{proxy.address}",
            },
            "ssl": trust(proxy),
            "ping_interval": None,
            "proxy": None,
            **more,
        },
    )


async def say(connection: Connection, text: str, ref: str) -> None:
    """A message, and its ack."""
    said = {"type": "message", "channel_id": 1, "payload": text, "ref": ref}
    await connection.send(json.dumps(said))
    while (event := json.loads(await connection.recv()))["type"] != "ack":
        assert event["type"] != "error", event
    assert event["ref"] == ref


@pytest.mark.parametrize("kind", KINDS)
def test_people_get_in_and_say_much_by_tls_and_no_log_has_their_token(
    kind: str, tmp_path: Path, certificate: Path, cleanup: ExitStack
) -> None:
    node = start_node(
        cleanup,
        tmp_path / "node",
        trusted_proxies="127.0.0.1",
        cookie_secure="true",
        auth_burst="10",
    )
    node.wait()
    # The first is not there at all: the other one gets what it should have had.
    nodes = [f"127.0.0.1:{free_port()}", node.address]
    proxy = start_proxy(cleanup, Proxy(kind, tmp_path / "proxy", nodes, certificate))
    wait_for(proxy)
    token = log_in(node)
    with client(proxy) as http:
        for _ in range(5):
            assert "<title>STORM" in http.get("/").text
        assert http.get("/metrics").status_code == 404
        answer = http.post("/auth/login", json=PERSON)
        assert all("; Secure" in each for each in answer.headers.get_list("set-cookie"))
        assert answer.headers["strict-transport-security"]
        # As long as STORM_BODY_BYTES and STORM_HEADER_BYTES let them be, and no longer.
        for length, status in ((1_000_000, 200), (1_100_000, 413)):
            long = http.post("/auth/login", json={**PERSON, "more": "x" * length})
            assert long.status_code == status, long.text
        assert http.get("/healthz", headers={"X-Long": "x" * 12_000}).status_code == 200

    async def talk() -> None:
        async with asyncio.timeout(WAIT_SECONDS), connect(proxy, token) as connection:
            await say(connection, "é" * 2_000, "c-1")
            await connection.send("x" * 70_000)  # STORM_FRAME_BYTES
            await connection.wait_closed()
            assert connection.close_code == 1009
        hidden = f"wss://{proxy.address}/ws?token=hidden-from-logs"
        with pytest.raises(InvalidStatus):
            async with websockets.asyncio.client.connect(hidden, ssl=trust(proxy), proxy=None):
                pass

    asyncio.run(talk())
    node.process.terminate()
    node.process.wait(WAIT_SECONDS)
    with client(proxy) as http:
        # Now there is nobody to ask, about which a proxy may have more to say.
        assert http.get("/channels?token=hidden-from-logs").status_code in (502, 503, 504)
    # A line is written when its request is over, which is after its answer was read here.
    until = time.monotonic() + WAIT_SECONDS
    while not re.search(r"/channels\b", proxy.said):
        assert time.monotonic() < until, proxy.said
        time.sleep(0.05)
    proxy.stop()
    assert "hidden-from-logs" not in proxy.said
    assert re.search(r"/ws\b", proxy.said)


@pytest.mark.parametrize("kind", [*KINDS, "ingress"])
def test_the_forwarded_address_counts_from_a_trusted_proxy_alone(
    kind: str, tmp_path: Path, certificate: Path, cleanup: ExitStack
) -> None:
    limit = {"max_connections_per_address": "1", "auth_rate_limit_enabled": "false"}
    nodes = {
        "trusting": start_node(cleanup, tmp_path / "a", trusted_proxies="127.0.0.1", **limit),
        "doubting": start_node(cleanup, tmp_path / "b", trusted_proxies="192.0.2.1", **limit),
    }

    async def second(proxy: Proxy, token: str, address: str) -> int:
        """What a second connection is answered, the first being 127.0.0.2's."""
        forged = {
            "Authorization": f"Bearer {token}",
            "X-Forwarded-For": "198.51.100.7",
        }
        async with (
            asyncio.timeout(WAIT_SECONDS),
            connect(proxy, token, local_addr=("127.0.0.2", 0)),
        ):
            try:
                async with connect(
                    proxy, token, local_addr=(address, 0), additional_headers=forged
                ):
                    return 101
            except InvalidStatus as refused:
                return refused.response.status_code

    found = {}
    for name, node in nodes.items():
        node.wait()
        token = log_in(node)
        places = (tmp_path / f"proxy-{name}", [node.address], certificate)
        proxy = Ingress("nginx", *places) if kind == "ingress" else Proxy(kind, *places)
        start_proxy(cleanup, proxy)
        wait_for(proxy)
        for address in ("127.0.0.2", "127.0.0.3"):
            found[name, address] = asyncio.run(second(proxy, token, address))
        proxy.stop()
    assert found["trusting", "127.0.0.3"] == 101
    # The same one, whatever it says of itself.
    assert found["trusting", "127.0.0.2"] == 503
    # To a node that does not trust the proxy, all are the proxy.
    assert found["doubting", "127.0.0.3"] == 503


@pytest.mark.timed
def test_three_minutes_of_silence_are_survived_because_the_node_pings(
    tmp_path: Path, certificate: Path, cleanup: ExitStack
) -> None:
    faster = {"heartbeat_seconds": NEVER}
    pinging = start_node(cleanup, tmp_path / "a", ping_seconds=str(30 // FASTER), **faster)
    silent = start_node(
        cleanup, tmp_path / "b", ping_seconds=NEVER, dead_seconds=f"{NEVER}0", **faster
    )
    pinging.wait()
    silent.wait()
    tokens = {node: log_in(node) for node in (pinging, silent)}

    cases: dict[str, tuple[Proxy, Here]] = {}
    for name, node in (("pinged", pinging), ("silent", silent)):
        for kind in (kind for kind in KINDS if program(kind)):
            places = (tmp_path / f"{kind}-{name}", [node.address], certificate)
            cases[f"{kind} {name}"] = (Proxy(kind, *places, silence_seconds=90 / FASTER), node)
        if program("nginx"):
            # An hour by its annotations; a minute where the controller is asked for nothing.
            for asked, what in ((annotations(), "ingress"), ({}, "unasked-ingress")):
                places = (tmp_path / f"{what}-{name}", [node.address], certificate)
                ingress = Ingress("nginx", *places, asked=asked, faster=FASTER)
                cases[f"{what} {name}"] = (ingress, node)

    # They hear each other on a node, so the silence of one is that of all.
    all_have_spoken = asyncio.Barrier(len(cases))

    async def survives(name: str) -> bool:
        proxy, node = cases[name]
        await asyncio.to_thread(start_proxy, cleanup, proxy)
        await asyncio.to_thread(wait_for, proxy)
        async with connect(proxy, tokens[node]) as connection:
            await say(connection, "first", f"{name}-1".replace(" ", "-"))
            await all_have_spoken.wait()
            # In its first round a node's clock visits everybody once, however seldom it is due.
            await asyncio.sleep(max(_ROUNDS) + 1)
            await asyncio.sleep(SILENCE_SECONDS)
            try:
                await say(connection, "and now", f"{name}-2".replace(" ", "-"))
            except ConnectionClosed:
                return False
            return True

    async def all_of_them() -> dict[str, bool]:
        async with asyncio.timeout(WAIT_SECONDS):
            found = await asyncio.gather(*map(survives, cases))
        return dict(zip(cases, found, strict=True))

    found = asyncio.run(all_of_them())
    # Without pings, those that have a limit cut it: it is the pings that keep it.
    expected = dict.fromkeys(cases, True)
    cut = {"nginx silent", "haproxy silent", "unasked-ingress silent"}
    expected |= dict.fromkeys(cut & set(cases), False)
    assert found == expected
    assert found, "no proxy is here"


def test_an_annotation_that_nobody_here_knows_is_a_fault() -> None:
    assert {"proxy-read-timeout", "proxy-send-timeout"} <= set(annotations())
    with pytest.raises(KeyError, match="upstream-hash-by"):
        directives(annotations() | {"upstream-hash-by": "$remote_addr"})


async def test_nodes_restart_in_turn_behind_each_proxy_and_no_message_is_lost(
    tmp_path: Path,
) -> None:
    kinds = [kind for kind in KINDS if program(kind)]
    scenario = BehindProxies(kinds, clients=60, drain_seconds=2, heartbeat_seconds=2)
    try:
        result = await run_scenario(
            scenario, tmp_path, Options(seconds=3, rate=60, nodes=2), State()
        )
    finally:
        await scenario.clean(tmp_path)
    said = "".join(proxy.said for proxy in scenario.proxies)
    assert result.passed, (result.failed, result.verdict.examples, said[-2_000:])
    assert result.verdict.lost == result.verdict.duplicated == 0
    assert result.verdict.acknowledged > 100
