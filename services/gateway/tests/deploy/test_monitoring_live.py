"""A real Prometheus watches two real nodes with their servers: every query has an answer."""
# ruff: noqa: S603 our own script

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from harness import SECRET, Peer, Refused, Server, all_of
from monitoring_names import alerts, metrics_in, recorded, rules
from prometheus import MONITORING, Process, Prometheus, program

from storm_gateway.stack.ports import free_port
from storm_gateway.stack.stack import Stack

DASHBOARD = json.loads((MONITORING / "grafana/dashboards/storm.json").read_text())
QUERIES = {
    f"{panel['title']}, {target['legendFormat']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
WINDOW = "30s"
EMPTY = {
    "Skew of the connections, fullest less emptiest, of the mean": "fewer than 100 connections",
    "Memory per connection, {{node}}": "fewer than 100 connections on a node",
    "Faults of the bus, {{kind}}": "nothing went wrong on the bus",
}
"""Queries of the dashboard without an answer where all is well, and why."""
NOT_SCRAPED = {"gnatsd_varz_slow_consumers": "no exporter of NATS comes with Debian"}


class Attached(Server):
    """A node of the stack."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    program("prometheus")  # else nothing needs to be started
    made = Stack(
        tmp_path_factory.mktemp("stack") / "stack",
        nodes=2,
        settings={
            "STORM_JWT_SECRET": SECRET,
            "STORM_DRAIN_SECONDS": "1",
            "STORM_COMMANDS_PER_SECOND": "10000",
            "STORM_COMMANDS_BURST": "10000",
        },
    )
    with made:
        yield made


@pytest.fixture(scope="module")
def exporters(stack: Stack) -> Iterator[dict[str, list[str]]]:
    """Job → address, of the exporters of the machine, PostgreSQL and Valkey."""
    ports = [free_port() for _ in range(3)]
    valkey = urlsplit(stack.valkey.url)
    database = stack.postgres.url
    with (
        Process(
            [
                program("prometheus-node-exporter"),
                f"--web.listen-address=127.0.0.1:{ports[0]}",
                "--collector.disable-defaults",
                "--collector.filesystem",
                "--collector.meminfo",
            ],
            ports[0],
            "/metrics",
        ) as machine,
        Process(
            [
                program("prometheus-postgres-exporter"),
                f"--web.listen-address=127.0.0.1:{ports[1]}",
            ],
            ports[1],
            "/metrics",
            {"DATA_SOURCE_NAME": f"{database}?sslmode=disable"},
        ) as postgres,
        Process(
            [
                program("prometheus-redis-exporter"),
                f"-web.listen-address=127.0.0.1:{ports[2]}",
                f"-redis.addr=redis://{valkey.hostname}:{valkey.port}",
            ],
            ports[2],
            "/metrics",
            {"REDIS_PASSWORD": valkey.password or ""},
        ) as cache,
    ):
        yield {
            "machine": [machine.address],
            "postgres": [postgres.address],
            "valkey": [cache.address],
        }


@pytest.fixture(scope="module")
def prometheus(
    stack: Stack, exporters: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    targets = {"storm": [node.addr for node in stack.nodes], **exporters}
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets) as started:
        yield started


async def talk(peers: list[Peer], messages: int) -> None:
    """Each says something in channel 1, and all receive all of it."""
    for number in range(messages):
        for peer in peers:
            said = await peer.say(1, f"message {number}")
            await all_of(*(other.until("message", seq=said["seq"]) for other in peers))


def too_large(url: str) -> int:
    """The status of a request, on a connection of its own, that is never read whole."""
    headers = {"X-Big": "x" * 17_000}
    return httpx2.get(f"{url}/healthz", headers=headers, timeout=10, trust_env=False).status_code


@asynccontextmanager
async def used(stack: Stack, seconds: float) -> AsyncIterator[None]:
    """People on both nodes who talk, come back, resume and make mistakes; then some stay."""
    nodes = [Attached(node.port) for node in stack.nodes]
    try:
        peers = [
            await node.join(f"user{number}", "/ws?channel_id=1")
            for number, node in enumerate(nodes)
        ]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await talk(peers, 3)
            peers[0].send("typing", channel_id=1)
            error = await peers[0].ask("subscribe", channel_id=999_999)
            assert error["type"] == "error"
            for node in nodes:
                await node.call(None, "GET", "/readyz")
            with pytest.raises(Refused):
                await nodes[0].open("/ws")
            assert too_large(stack.nodes[0].url) == 431
            # After an edit nodes have nothing in memory: who resumes is served by the store.
            said = await peers[0].say(1, "to be edited")
            edited = await peers[0].ask(
                "edit", channel_id=1, message_id=said["id"], payload="edited"
            )
            await peers[1].until("message.edited", seq=edited["seq"])
            returned = await nodes[1].join("user9")
            await returned.subscribe(1, since=1)
            assert await returned.goodbye() == 1000
        yield
    finally:
        for node in nodes:
            await node.leave()


async def test_prometheus_watches_two_nodes_and_every_query_has_an_answer(
    stack: Stack, prometheus: Prometheus, tmp_path: Path
) -> None:
    """One test, because what it needs takes long to start."""
    async with used(stack, 7):
        # A scrape after the last thing that happened.
        prometheus.until(f"count(timestamp(storm_ready) > {time.time() + 1}) == 2")
        every_metric_of_the_rules_is_there(prometheus)
        every_panel_has_something_to_draw(prometheus)
    the_panels_are_drawn(prometheus, tmp_path)
    every_rule_is_evaluated_and_no_page_is_due(prometheus)
    stack.nats.stop()
    for node in stack.nodes:
        assert httpx2.get(f"{node.url}/readyz", timeout=10, trust_env=False).status_code == 503
    the_alert_of_the_bus_wakes_and_no_other(prometheus)


def every_metric_of_the_rules_is_there(prometheus: Prometheus) -> None:
    names = set(prometheus.ask("label/__name__/values"))
    for file in rules().values():
        for rule in file:
            missing = metrics_in(rule["expr"]) - names - set(NOT_SCRAPED)
            assert not missing, f"{rule}: {missing}"
    assert not [name for name in NOT_SCRAPED if name in names]
    for name in recorded():
        assert prometheus.query(name), f"{name} has no value"


def every_panel_has_something_to_draw(prometheus: Prometheus) -> None:
    for title, expr in QUERIES.items():
        asked = expr.replace("$__rate_interval", WINDOW).replace("$node", ".+")
        found = prometheus.query(asked)
        if title in EMPTY:
            assert not found, f"{title} is not empty: {found}"
        else:
            numbers = [value for _, value in found if not math.isnan(value)]
            assert numbers, f"{title} has nothing to draw: {asked}"
            for label in re.findall(r"\{\{(\w+)\}\}", title):
                assert all(labels.get(label) for labels, _ in found), f"{title}: {found}"
    assert set(EMPTY) <= set(QUERIES)


def the_panels_are_drawn(prometheus: Prometheus, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    script = [sys.executable, MONITORING / "draw_panels.py"]
    where = ["--prometheus", f"http://{prometheus.address}", "--minutes", "0.5", "--interval", "1"]
    rows = ["--row", "At a glance", "--row", "Messages"]
    picture = folder / "panels.svg"
    ran = subprocess.run(
        [*script, *where, *rows, "--output", picture], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    # Text is drawn as outlines, but its words stand in comments.
    drawn = set(re.findall(r"<!-- (.+?) -->", picture.read_text()))
    assert {"At a glance", "Nodes that deliver", "2", "Messages by node", "Messages"} <= drawn
    assert "No data" not in drawn
    assert "Store" not in drawn
    assert [text for text in drawn if text.startswith("node-1 ")]


def every_rule_is_evaluated_and_no_page_is_due(prometheus: Prometheus) -> None:
    groups = prometheus.ask("rules")["groups"]
    found = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(found) == set(alerts()) | recorded()
    for name, rule in found.items():
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), name
    for name in ("StormDown", "StormNodeDown", "StormNodesApart", "StormStoreDown", "StormBusDown"):
        assert found[name]["state"] != "firing", found[name]
    jobs = {target["labels"]["job"] for target in prometheus.ask("targets")["activeTargets"]}
    assert jobs == {"storm", "prometheus", "machine", "postgres", "valkey"}


def the_alert_of_the_bus_wakes_and_no_other(prometheus: Prometheus) -> None:
    others = 'ALERTS{alertname=~"StormStoreDown|StormPresenceDown"}'
    prometheus.until(f'count(ALERTS{{alertname="StormBusDown"}}) == 2 unless on () {others}')
    awake = prometheus.query('ALERTS{alertname="StormBusDown"}')
    assert {labels["node"] for labels, _ in awake} == {"node-1", "node-2"}
