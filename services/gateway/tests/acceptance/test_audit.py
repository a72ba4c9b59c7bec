"""The audit as a whole: green for an honest node, killed or not; red for one that lies."""
# ruff: noqa: ASYNC110 a run is watched from outside; the test has its own time limit

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from audit_relay import Event, Link, LyingRelay
from harness import SECRET, Node

from storm_gateway.audit.arena import Arena
from storm_gateway.audit.result import Result
from storm_gateway.audit.run import Options, RunError, State, run_against, run_scenario
from storm_gateway.audit.scenario import LoadPlan, Plain, Scenario

SMALL = Options(seconds=1, senders=4, receivers=4, channels=2, rate=60, settle_seconds=3)


def wrongs(result: Result) -> dict[str, int]:
    """What the verdict counts, zeros left out."""
    verdict = result.verdict
    kinds = ("lost", "duplicated", "out_of_order", "phantom", "unknown", "disagreements")
    return {kind: getattr(verdict, kind) for kind in kinds if getattr(verdict, kind)}


def is_message(event: Event) -> bool:
    return event["type"] == "message"


# --- an honest node ---


async def test_an_honest_node_is_green(node: Node) -> None:
    url = f"http://127.0.0.1:{node.port}"
    result = await run_against([url], SECRET, "", SMALL, State())
    assert result.failed == []
    assert wrongs(result) == {}
    assert result.passed
    assert result.verdict.acknowledged >= 30
    # Four receivers of both channels get every message.
    assert result.verdict.delivered == 4 * result.verdict.stored
    assert result.counts["outsiders refused"] == 2


async def test_the_store_itself_agrees_with_the_history_pages(node: Node) -> None:
    url = f"http://127.0.0.1:{node.port}"
    database = f"sqlite:///{node.config.data_dir}/storm.db"
    result = await run_against([url], SECRET, database, SMALL, State())
    assert result.passed, (result.failed, result.verdict.examples)


async def test_more_than_a_replay_holds_is_read_from_history_pages(
    start_node: Callable[..., Awaitable[Node]],
) -> None:
    node = await start_node(replay_events=1)
    state = State()
    options = replace(SMALL, rate=200, seconds=6)

    async def cut_everyone() -> None:
        while state.load is None or state.load.acked < 100:
            await asyncio.sleep(0.01)
        # Again, should all be back before anybody has said two things.
        while not state.load.gaps:
            state.load.drop_all()
            await asyncio.sleep(0.7)

    cutting = asyncio.create_task(cut_everyone())
    result = await run_against([f"http://127.0.0.1:{node.port}"], SECRET, "", options, state)
    await cutting
    assert result.passed, (result.failed, result.verdict.examples)
    assert result.counts["gaps filled from history pages"] > 0
    assert result.counts["connections lost and back"] >= 4 + 4 + 2


async def test_a_wrong_secret_is_told_at_once(node: Node) -> None:
    url = f"http://127.0.0.1:{node.port}"
    with pytest.raises(RunError, match="401"):
        await run_against([url], "another-secret-that-is-long-enough-too", "", SMALL, State())


class NodeKilled(Scenario):
    """`kill -9` under load, on SQLite."""

    name = "node-killed"
    title = "The only node is killed"
    embedded = True
    seconds = 3
    load = LoadPlan(senders=8, receivers=12, channels=4, rate=80)

    async def run(self, arena: Arena) -> None:
        node = arena.stack.nodes[0]
        await arena.steady(1)
        async with arena.fault("node killed", node=node):
            await arena.call(node.kill)
            await arena.call(node.start)
        arena.figure("first ack after the kill", f"{await arena.acks_again():.1f} s")

    async def after(self, arena: Arena) -> None:
        await arena.all_ready()
        node = arena.stack.nodes[0]
        async with asyncio.timeout(20):
            while await arena.metric(node, "storm_active_websockets") != 22:
                await asyncio.sleep(0.1)


async def test_a_node_that_is_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    result = await run_scenario(NodeKilled(), tmp_path, Options(), State())
    assert result.passed, (result.failed, result.verdict.examples)
    (repair,) = result.repairs
    assert repair.back.count == 8 + 12 + 2
    assert result.unavailable > 0.2
    assert result.counts["close codes"] == {"1006": 22}
    assert "first ack after the kill" in result.figures


class TwoNodes(Plain):
    """And real servers between them."""

    seconds = 2

    async def after(self, arena: Arena) -> None:
        for node in arena.stack.nodes:
            arena.figure(node.name, arena.load.connected_to(node.name))


async def test_two_nodes_with_real_servers_share_the_clients_and_are_green(tmp_path: Path) -> None:
    options = replace(SMALL, seconds=2, settle_seconds=10)
    result = await run_scenario(TwoNodes(), tmp_path, options, State())
    assert result.passed, (result.failed, result.verdict.examples)
    assert result.figures == {"node-1": "5", "node-2": "5"}
    assert result.verdict.delivered == 4 * result.verdict.stored


class NothingHappens(Scenario):
    """It forgets to do any harm."""

    name = "nothing"
    title = "Nothing"
    embedded = True
    seconds = 1

    async def run(self, arena: Arena) -> None:
        arena.expect(False, "this cannot hold")


async def test_a_scenario_without_its_fault_or_its_expectation_fails(tmp_path: Path) -> None:
    result = await run_scenario(NothingHappens(), tmp_path, SMALL, State())
    assert wrongs(result) == {}
    assert result.failed == ["the fault did not happen", "this cannot hold"]
    assert not result.passed


# --- a node that lies ---


@pytest.fixture
async def relay(node: Node) -> AsyncIterator[LyingRelay]:
    async with LyingRelay(node.port) as relay:
        yield relay


async def audited(relay: LyingRelay) -> Result:
    result = await run_against([relay.url], SECRET, "", SMALL, State())
    assert relay.lies == 1, "the lie was not told"
    assert not result.passed
    return result


async def test_the_relay_alone_turns_nothing_red(relay: LyingRelay) -> None:
    relay.down = lambda link, event: [event]
    result = await run_against([relay.url], SECRET, "", SMALL, State())
    assert result.passed, (result.failed, result.verdict.examples)


async def test_clients_that_leave_when_they_are_told_to_are_counted_as_such(
    relay: LyingRelay,
) -> None:
    """Not as connections that broke (1006)."""
    told = {"type": "reconnect", "after_ms": 50, "reason": "restart"}
    relay.down = relay.once(is_message, lambda event: [event, told])
    result = await run_against([relay.url], SECRET, "", SMALL, State())
    assert relay.lies == 1
    assert result.passed, (result.failed, result.verdict.examples)
    assert result.counts["close codes"] == {"1000": 1}
    assert result.counts["connections lost and back"] == 1


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (lambda event: [event, event], {"duplicated": 1}),
        (lambda event: [{**event, "payload": event["payload"] + "!"}], {"phantom": 1}),
        (lambda event: [{**event, "user_id": "mallory"}], {"phantom": 1}),
        (lambda event: [{**event, "id": event["id"] + 1_000_000}], {"phantom": 1}),
        (lambda event: [event, {**event, "seq": 1_000_000}], {"phantom": 1}),
    ],
    ids=["doubled", "another text", "another author", "another id", "from nowhere"],
)
async def test_one_lie_of_a_node_is_found(
    relay: LyingRelay, lie: Callable[[Event], list[Event]], expected: dict[str, int]
) -> None:
    relay.down = relay.once(is_message, lie)
    assert wrongs(await audited(relay)) == expected


async def test_events_that_change_places_are_found(relay: LyingRelay) -> None:
    def swap(link: Link, event: Event) -> list[Event]:
        if is_message(event) and link.held:
            if event["channel_id"] == link.held[0]["channel_id"]:
                return [event, link.held.pop()]
        elif is_message(event) and relay.lies == 0:
            relay.lies += 1
            link.held.append(event)
            return []
        return [event]

    relay.down = swap
    result = await audited(relay)
    assert result.verdict.out_of_order >= 1
    assert result.verdict.lost == 0


async def test_a_receiver_who_never_gets_a_message_has_lost_it(relay: LyingRelay) -> None:
    """However often the client resumes: it is kept from this one for ever."""
    kept: list[tuple[str, int]] = []
    first: list[Link] = []

    def keep(link: Link, event: Event) -> list[Event]:
        if event["type"] == "heartbeat":
            return []
        if not is_message(event):
            return [event]
        if not kept:
            relay.lies += 1
            kept.append((event["channel_id"], event["seq"]))
            first.append(link)
        is_it = link is first[0] and (event["channel_id"], event["seq"]) == kept[0]
        return [] if is_it else [event]

    relay.down = keep
    result = await audited(relay)
    assert wrongs(result) == {"lost": 1}


async def test_an_ack_for_what_was_never_stored_is_found(relay: LyingRelay) -> None:
    def swallow(link: Link, command: Event) -> list[Event]:
        if is_message(command) and relay.lies == 0:
            relay.lies += 1
            return [
                {
                    "type": "ack",
                    "ref": command["ref"],
                    "channel_id": command["channel_id"],
                    "id": 999_999,
                    "seq": 1,
                }
            ]
        return []

    relay.up = swallow
    assert wrongs(await audited(relay)) == {"lost": 1}


async def test_a_message_whose_sender_never_hears_anything_is_unknown(relay: LyingRelay) -> None:
    silenced: list[str] = []

    def swallow(link: Link, event: Event) -> list[Event]:
        if event["type"] == "ack" and not silenced:
            relay.lies += 1
            silenced.append(event["ref"])
        return [] if event["type"] == "ack" and event["ref"] == silenced[0] else [event]

    relay.down = swallow
    assert wrongs(await audited(relay)) == {"unknown": 1}


# --- the command ---


async def storm(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit status, answer and remarks of `storm …`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "storm_gateway", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def quick(**more: str) -> list[str]:
    options = {"seconds": "1", "senders": "4", "receivers": "4", "channels": "2", "rate": "60"}
    return [part for name, value in (options | more).items() for part in (f"--{name}", value)]


async def test_command_runs_a_node_of_its_own_and_writes_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report"
    status, out, err = await storm("audit", "--embedded", *quick(), "--report", str(report))
    assert status == 0, out + err
    assert "Passed: 1 run" in out
    assert "acks/s" in err
    text = (report / "report.md").read_text()
    assert "| plain | passed |" in text
    assert "![acks and deliveries over time](plain.png)" in text
    assert (report / "plain.png").read_bytes().startswith(b"\x89PNG")
    (result,) = json.loads((report / "results.json").read_bytes())["results"]
    assert result["passed"] is True
    assert result["verdict"]["lost"] == 0


async def test_an_audit_that_is_broken_off_reports_what_was_over_and_leaves_no_server(
    tmp_path: Path,
) -> None:
    report, place = tmp_path / "report", tmp_path / "place"
    place.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "storm_gateway", "audit", *quick(), "--report", str(report)),
        *("--scenario", "sqlite-killed", "--scenario", "sqlite-killed-200-times"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(place)},
        # As a shell starts what is to run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        async with asyncio.timeout(60):
            while not (pids := list(place.glob("*/sqlite-killed-200-times/node-1/*.pid"))):
                await asyncio.sleep(0.02)
            text = (report / "report.md").read_text()
            node = int(pids[0].read_text().split()[0])
            process.terminate()
            _, err = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode == 130, err
    assert "broken off after 1 of 2 runs" in err.decode()
    assert "**Not all**: 1 of 2 runs are over." in text
    assert "| sqlite-killed (F16) | passed |" in text
    assert (report / "sqlite-killed.png").exists()
    assert not list(place.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(node, 0)


async def test_command_audits_nodes_that_run_already(node: Node, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    url = f"http://127.0.0.1:{node.port}"
    status, out, err = await storm("audit", "--url", url, "--secret-file", str(secret), *quick())
    assert status == 0, out + err
    assert SECRET not in out + err


async def test_command_ends_with_1_when_something_was_lost(relay: LyingRelay) -> None:
    relay.down = relay.once(is_message, lambda event: [event, event])
    status, out, err = await storm("audit", "--url", relay.url, *quick(), STORM_JWT_SECRET=SECRET)
    assert (status, relay.lies) == (1, 1), out + err
    assert "FAILED" in out
    assert "duplicated: receiver" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scenario", "no-such-fault"], "there is no scenario 'no-such-fault'"),
        (["--url", "http://127.0.0.1:1"], "the nodes' secret is needed"),
        (["--url", "http://127.0.0.1:1", "--nodes", "2"], "--url is for nodes that run already"),
        (["--url", "http://127.0.0.1:1", "--secret-file", "/no/such"], "cannot be read"),
        (["--senders", "0"], "--senders"),
    ],
)
async def test_command_says_what_is_wrong_with_its_use(arguments: list[Any], sentence: str) -> None:
    status, _, err = await storm("audit", *arguments)
    assert status == 2
    assert sentence in err
    assert "Traceback" not in err


async def test_command_lists_the_scenarios() -> None:
    status, out, _ = await storm("audit", "--scenario", "list")
    assert status == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert len(names) == len(set(names))
