# ruff: noqa: S603 what is started here stands in the repository
"""The proxy of compose.yaml, as it is configured there, before real nodes."""

import asyncio
import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import websockets.asyncio.client
from test_compose import SERVICES, free_port, mounts

from shown import ROOT, WAIT_SECONDS, Node

CADDY = Path(sys.executable).with_name("caddy")
PERSON = {"user_id": "alice", "password": "correct horse"}

pytestmark = pytest.mark.skipif(not CADDY.exists(), reason="Caddy comes for Linux and macOS only")


class Behind(Node):
    """A node that believes this machine's proxy, as those of compose.yaml believe theirs."""

    command = (
        "env",
        "STORM_TRUSTED_PROXIES=127.0.0.1",
        "STORM_COOKIE_SECURE=true",
        "storm",
        "serve",
    )


class Proxy:
    """Caddy with the file of compose.yaml: only the names of the nodes and the port are others."""

    def __init__(self, folder: Path, nodes: list[str]) -> None:
        (source,) = (
            s for s, target, _ in mounts(SERVICES["proxy"]) if target.endswith("Caddyfile")
        )
        text = (ROOT / source).read_text("utf-8")
        named = " ".join(f"{name}:8080" for name in SERVICES if name.startswith("storm-"))
        assert named in text
        (folder / "Caddyfile").write_text(text.replace(named, " ".join(nodes)))
        self.address = f"localhost:{free_port()}"
        self.root = folder / "caddy/pki/authorities/local/root.crt"
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [CADDY, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"],
                env=os.environ
                | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
                | {"SITE": self.address},
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while True:
            with contextlib.suppress(httpx2.TransportError, OSError):
                if self.root.exists() and self.get("/healthz").status_code == 200:
                    return
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    @property
    def trust(self) -> ssl.SSLContext:
        """Of the certificate that it made for itself."""
        return ssl.create_default_context(cafile=str(self.root))

    def get(self, path: str) -> httpx2.Response:
        """The answer. It waits longer than Caddy looks for a node (5 s)."""
        return httpx2.get(f"https://{self.address}{path}", verify=self.trust, timeout=WAIT_SECONDS)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_SECONDS)


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[tuple[Proxy, list[Behind]]]:
    with ExitStack() as cleanup:
        nodes = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            nodes.append(Behind(tmp_path / name))
            cleanup.callback(nodes[-1].stop)
        for node in nodes:
            node.wait()
        # The third is not there at all.
        missing = f"127.0.0.1:{free_port()}"
        proxy = Proxy(tmp_path, [missing, *(node.address for node in nodes)])
        cleanup.callback(proxy.stop)
        proxy.wait()
        yield proxy, nodes


def test_people_get_in_by_tls_and_a_node_that_ends_is_passed_over(
    behind: tuple[Proxy, list[Behind]],
) -> None:
    proxy, (first, second) = behind
    assert "<title>STORM" in proxy.get("/").text
    assert proxy.get("/metrics").status_code == 404
    assert httpx2.get(f"http://{first.address}/metrics").status_code == 200

    # These two nodes share nothing: alice is on the second one alone, which stays.
    first.process.terminate()
    for _ in range(30):
        assert proxy.get("/healthz").status_code == 200
    first.process.wait(WAIT_SECONDS)
    for _ in range(30):
        assert proxy.get("/healthz").status_code == 200

    base = f"https://{proxy.address}"
    answer = httpx2.post(f"{base}/auth/register", json=PERSON, verify=proxy.trust)
    assert answer.status_code == 201, answer.text
    answer = httpx2.post(f"{base}/auth/login", json=PERSON, verify=proxy.trust)
    assert all("; Secure" in each for each in answer.headers.get_list("set-cookie"))
    assert answer.headers["strict-transport-security"]
    asyncio.run(talk(proxy, answer.json()["access_token"]))

    # What somebody says about their own address does not count: they are one address, with one
    # limit, whatever they claim.
    statuses = [
        httpx2.post(
            f"{base}/auth/login",
            json=PERSON,
            headers={"X-Forwarded-For": f"198.51.100.{number}"},
            verify=proxy.trust,
        ).status_code
        for number in range(4)
    ]
    assert 429 in statuses
    # A token in an address is in no log: neither when it is answered, nor when nobody is there.
    assert proxy.get("/?token=hidden-from-logs").status_code == 200
    second.process.terminate()
    second.process.wait(WAIT_SECONDS)
    assert proxy.get("/?token=hidden-from-logs").status_code in (502, 503)
    proxy.stop()
    said = proxy.log.read_text()
    assert "hidden-from-logs" not in said
    assert re.search(r"token=REDACTED", said)


async def talk(proxy: Proxy, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Origin": f"https://{proxy.address}"}
    async with (
        asyncio.timeout(WAIT_SECONDS),
        websockets.asyncio.client.connect(
            f"wss://{proxy.address}/ws?channel_id=1", additional_headers=headers, ssl=proxy.trust
        ) as client,
    ):
        said = {"type": "message", "channel_id": 1, "payload": "by the proxy", "ref": "c-1"}
        await client.send(json.dumps(said))
        while (event := json.loads(await client.recv()))["type"] != "ack":
            assert event["type"] != "error", event
        assert event["ref"] == "c-1"
