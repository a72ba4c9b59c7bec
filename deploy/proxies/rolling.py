# ruff: noqa: T201 a program of the command line
"""Rolling restart of nodes behind a proxy, under load, judged by the audit.

Every node in turn gets SIGTERM, drains, and starts again, while clients who know only the proxy's
address send and receive. Nothing may be lost, nobody may be away for longer than 5 s, and no more
clients may come back in one second than the drain spreads. The proxy has the configuration of this
folder; TLS is left out. Exit status as of `storm audit`: 0, or 1 when something did not hold.
"""

import argparse
import asyncio
import math
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from proxy_process import KINDS, Proxy, program

from storm_gateway.audit.environment import environment
from storm_gateway.audit.report import summary, verdict_line, write_report
from storm_gateway.audit.run import Options, RunError, State, run_scenario, watch
from storm_gateway.audit.scenario import LoadPlan
from storm_gateway.audit.scenarios.nodes import RollingRestart
from storm_gateway.cli.common import quiet_logging
from storm_gateway.config import Config
from storm_gateway.connections.drain import spread_seconds
from storm_gateway.stack.stack import Stack

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena

_SPREAD = 1.5


class BehindProxies(RollingRestart):
    """Clients are spread over the proxies, each of which is before all nodes."""

    name = "rolling-restart-behind-a-proxy"
    title = "Every node is restarted in turn (SIGTERM, drain, start), behind a proxy"
    reference = "F3"
    unavailable_seconds = 5.0

    def __init__(
        self, kinds: Sequence[str], clients: int, drain_seconds: int, heartbeat_seconds: int
    ) -> None:
        senders = max(1, clients // 100)
        self.kinds, self.drain_seconds = kinds, drain_seconds
        # The class has them for all its runs; here each run says its own.
        self.load = LoadPlan(  # type: ignore[misc]
            senders=senders,
            receivers=clients - senders,
            channels=max(2, clients // 20),
            subscriptions=1,
        )
        self.settings = {  # type: ignore[misc]
            "STORM_DRAIN_SECONDS": str(drain_seconds),
            "STORM_HEARTBEAT_SECONDS": str(heartbeat_seconds),
            "STORM_TRUSTED_PROXIES": "127.0.0.1",
        }
        self.proxies: list[Proxy] = []

    def missing(self) -> str:
        lacking = [kind for kind in self.kinds if program(kind) is None]
        return f"{', '.join(lacking)} not here" if lacking else ""

    def urls(self, stack: Stack) -> Sequence[str]:
        nodes = [node.addr for node in stack.nodes]
        for kind in self.kinds:
            self.proxies.append(Proxy(kind, stack.folder / f"proxy-{kind}", nodes))
            self.proxies[-1].start()
        return [f"http://127.0.0.1:{proxy.port}" for proxy in self.proxies]

    async def after(self, arena: "Arena") -> None:
        await super().after(arena)
        clients, nodes = arena.load.clients, len(arena.stack.nodes)
        # A node may have the clients of those that were restarted before it, too.
        held = max(Counter(each.node for each in arena.load.returns).values(), default=0)
        took = spread_seconds(held, self.drain_seconds)
        even = held / took if took else 0.0
        most = max(Counter(int(each.back_at) for each in arena.load.returns).values(), default=0)
        # Random moments: counts of a second are spread like those of Poisson; 5 deviations.
        allowed = math.ceil(even * _SPREAD + 5 * math.sqrt(even) + 5)
        arena.figure("clients of the fullest node when it drained", held)
        arena.figure(f"of these a second, evenly over {took:.1f} s", f"{even:.0f}")
        arena.figure("clients, nodes", f"{clients}, {nodes}")
        arena.expect(most <= allowed, f"{most} came back in one second; {allowed} are allowed")

    async def clean(self, folder: Path) -> None:
        for proxy in self.proxies:
            proxy.stop()


async def _run(scenario: BehindProxies, options: Options, report: Path | None) -> bool:
    state = State()
    watching = asyncio.create_task(watch(state, lambda line: print(line, flush=True)))
    folder = Path(tempfile.mkdtemp(prefix="storm-proxies-"))
    try:
        result = await run_scenario(scenario, folder, options, state)
    finally:
        watching.cancel()
        await scenario.clean(folder)
        shutil.rmtree(folder, ignore_errors=True)
    print(*summary([result]), *result.failed, *result.verdict.examples, sep="\n")
    print(verdict_line([result]), result.skipped, result.figures)
    if report is not None:
        found = environment() | {"proxy": ", ".join(scenario.kinds)}
        print(f"report: {write_report([result], found, report)}")
    return result.passed and not result.skipped


def main() -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxy", choices=KINDS, default="nginx")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second")
    parser.add_argument("--drain", type=int, default=20, help="STORM_DRAIN_SECONDS")
    parser.add_argument("--report", type=Path, help="folder for report.md and its figures")
    asked = parser.parse_args()
    quiet_logging(Config())
    scenario = BehindProxies([asked.proxy], asked.clients, asked.drain, heartbeat_seconds=30)
    try:
        passed = uvloop.run(
            _run(scenario, Options(nodes=asked.nodes, rate=asked.rate), asked.report)
        )
    except RunError as error:
        print(error)
        return 2
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
