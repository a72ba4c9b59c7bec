"""A supervisor and real child processes: small programs that answer with their name."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from storm_gateway.config import Config
from storm_gateway.observability.allocator import Allocator, environment
from storm_gateway.supervisor.supervisor import Patience, Supervisor

HERE = Path(__file__).parent
PROGRAM = (sys.executable, str(HERE / "small_node.py"))
QUICK = Patience(
    first_pause=0.05,
    longest_pause=0.2,
    lived_well=0.5,
    to_be_ready=5,
    after_drain=1,
    in_a_hurry=1,
    to_lend=0.5,
)
WAIT_SECONDS = 10.0


class Herd:
    """A supervisor under test, and what its nodes note."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.mood_path = folder / "mood"
        self.notes_path = folder / "notes"
        self.notes_path.touch()
        self.be("well")
        patch.setenv("MOOD", str(self.mood_path))
        patch.setenv("NOTES", str(self.notes_path))
        self.supervisor: Supervisor
        self.running: asyncio.Task[int] | None = None

    def be(self, mood: str) -> None:
        """What nodes that are started from now on do."""
        self.mood_path.write_text(mood)

    def start(self, count: int = 2, patience: Patience = QUICK, **settings: Any) -> None:
        config = Config(
            **{"addr": "127.0.0.1:0", "node_name": "gate", "drain_seconds": 0, **settings}
        )
        self.supervisor = Supervisor(config, count, program=PROGRAM, patience=patience)
        self.running = asyncio.create_task(self.supervisor.run())

    @property
    def port(self) -> int:
        return self.supervisor.service.port

    @property
    def notes(self) -> list[tuple[str, int, str]]:
        """(name, pid, what) in order."""
        found = (row.split() for row in self.notes_path.read_text().splitlines())
        return [(name, int(pid), what) for name, pid, what in found]

    def pids(self, what: str = "starts") -> list[int]:
        return [pid for _, pid, noted in self.notes if noted == what]

    async def ask(self, port: int) -> tuple[str, int]:
        """Who answers at this port. Raises ``ConnectionError`` when nobody does."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                answer = (await reader.read()).decode().split()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        if not answer:
            raise ConnectionResetError
        return answer[0], int(answer[1])

    async def answering(self, port: int | None = None, times: int = 40) -> dict[str, int]:
        """Name → pid of all that answer at the shared port."""
        return dict([await self.ask(port or self.port) for _ in range(times)])

    async def all_answer(self, count: int = 2) -> dict[str, int]:
        found: dict[str, int] = {}

        async def enough() -> bool:
            nonlocal found
            with contextlib.suppress(ConnectionError):
                found = await self.answering()
            return len(found) == count

        await until(enough)
        return found

    async def status(self) -> int:
        assert self.running is not None
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.running

    async def stop(self) -> None:
        if self.running is not None and not self.running.done():
            self.supervisor.end()
            self.supervisor.end()
            await self.status()


async def until(true: Callable[[], Any], seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition (a function, or one that gives an awaitable)."""
    async with asyncio.timeout(seconds):
        while True:
            answer = true()
            if await answer if asyncio.iscoroutine(answer) else answer:
                return
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def environment_of(pid: int) -> dict[str, str]:
    """What a process found at its start."""
    found = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return {name: value for name, _, value in (each.partition("=") for each in found)}


@pytest.fixture
async def herd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Herd]:
    made = Herd(tmp_path, monkeypatch)
    yield made
    await made.stop()
    assert not any(alive(pid) for pid in made.pids())


def of(logs: Any, event: str) -> list[dict[str, Any]]:
    return [record for record in logs if event in record["event"]]


# --- what a node finds ---


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("allocator", ["auto", "python"])
async def test_a_node_has_its_memory_from_where_the_settings_say(
    herd: Herd, allocator: Allocator
) -> None:
    herd.start(1, allocator=allocator)
    await herd.all_answer(1)
    chosen = environment_of(herd.pids()[0])
    expected = environment(allocator, os.environ)
    names = ("LD_PRELOAD", "PYTHONMALLOC", "MALLOC_CONF")
    assert {name: chosen[name] for name in names if name in chosen} == {
        **{name: os.environ[name] for name in names if name in os.environ},
        **expected,
    }


# --- addresses ---


async def test_nodes_share_one_free_port_and_have_each_a_name_and_an_address_of_its_own(
    herd: Herd,
) -> None:
    with capture_logs() as logs:
        herd.start(3)
        await until(lambda: len(of(logs, "node is ready")) == 3)
        answering = await herd.all_answer(3)
        assert set(answering) == {"gate-1", "gate-2", "gate-3"}
        addresses = set()
        for told in of(logs, "node is ready"):
            assert told["addr"] == f"127.0.0.1:{herd.port}"
            host, _, port = told["node_addr"].partition(":")
            assert host == "127.0.0.1"
            addresses.add(int(port))
            # Its own address is nobody else's.
            assert await herd.answering(int(port), 5) == {told["node"]: told["pid"]}
            assert answering[told["node"]] == told["pid"]
    assert len(addresses) == 3
    assert herd.port not in addresses


def ports_in_a_row(count: int) -> int:
    """The first of some ports that are free now."""
    for first in range(20_000, 30_000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError


async def test_the_own_addresses_count_up_from_the_one_that_is_set(herd: Herd) -> None:
    first = ports_in_a_row(2)
    herd.start(2, node_addr=f"127.0.0.1:{first}")
    await herd.all_answer()
    assert set(await herd.answering(first, 3)) == {"gate-1"}
    assert set(await herd.answering(first + 1, 3)) == {"gate-2"}


async def test_an_address_that_others_use_is_refused_even_if_they_would_share(herd: Herd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            herd.start(addr=f"127.0.0.1:{port}")
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            herd.start(node_addr=f"127.0.0.1:{port}")
    herd.start()
    await herd.all_answer()
    with pytest.raises(OSError, match="Address already"):
        Supervisor(Config(addr=f"127.0.0.1:{herd.port}"), 2)


# --- nodes that die ---


async def test_a_killed_node_is_started_again_and_the_others_serve_all_connections_meanwhile(
    herd: Herd,
) -> None:
    with capture_logs() as logs:
        herd.start(patience=Patience(first_pause=0.5))
        before = await herd.all_answer()
        os.kill(before["gate-1"], signal.SIGKILL)
        await until(lambda: of(logs, "started again"))
        # Nobody is sent to the dead one, whose sockets nobody holds any more.
        assert set(await herd.answering(times=60)) == {"gate-2"}
        after = await herd.all_answer()
    assert after["gate-2"] == before["gate-2"]
    assert after["gate-1"] != before["gate-1"]
    (told,) = of(logs, "started again")
    assert told["node"] == "gate-1"
    assert told["why"] == "killed by SIGKILL"
    assert told["after_seconds"] == 0.5
    assert told["log_level"] == "error"
    ready = of(logs, "node is ready")
    assert ready[-1]["node"] == "gate-1"
    assert ready[-1]["node_addr"] == next(r for r in ready if r["node"] == "gate-1")["node_addr"]


async def test_pauses_double_up_to_a_bound_and_begin_again_after_a_good_life(herd: Herd) -> None:
    with capture_logs() as logs:
        herd.start()
        node = (await herd.all_answer())["gate-1"]
        await asyncio.sleep(QUICK.lived_well)  # the life is the condition here
        herd.be("crash")
        os.kill(node, signal.SIGKILL)
        await until(lambda: len(of(logs, "started again")) >= 5)
        herd.be("well")
        node = (await herd.all_answer())["gate-1"]
        pauses = [record["after_seconds"] for record in of(logs, "started again")]
        assert pauses[:5] == [0.05, 0.1, 0.2, 0.2, 0.2]
        assert of(logs, "started again")[1]["why"] == "ended with status 3"
        await asyncio.sleep(QUICK.lived_well)
        os.kill(node, signal.SIGKILL)
        await until(lambda: len(of(logs, "started again")) > len(pauses))
        assert of(logs, "started again")[-1]["after_seconds"] == 0.05


@pytest.mark.parametrize(
    ("mood", "why"), [("refused", "this node refused"), ("crash", "ended with status 3")]
)
async def test_nodes_that_cannot_start_at_all_end_the_supervisor_with_their_reason(
    herd: Herd, mood: str, why: str
) -> None:
    herd.be(mood)
    with capture_logs() as logs:
        herd.start()
        assert await herd.status() == 1
    assert len(herd.pids()) <= 2  # the other one may have been ended before it noted anything
    told = of(logs, "cannot start")
    assert told
    assert told[0]["why"] == why


async def test_nodes_that_miss_a_server_try_again_until_it_is_there(herd: Herd) -> None:
    herd.be("failed")
    with capture_logs() as logs:
        herd.start()
        await until(lambda: len(herd.pids()) >= 4)
        herd.be("well")
        await herd.all_answer()
    assert of(logs, "started again")[0]["why"] == "this node failed"


async def test_a_node_that_cannot_start_while_others_serve_does_not_end_them(herd: Herd) -> None:
    herd.start()
    before = await herd.all_answer()
    herd.be("refused")
    os.kill(before["gate-1"], signal.SIGKILL)
    await until(lambda: len(herd.pids()) >= 4)
    assert set(await herd.answering()) == {"gate-2"}
    herd.be("well")
    assert (await herd.all_answer())["gate-2"] == before["gate-2"]


async def test_a_node_that_does_not_deliver_serves_all_the_same_when_it_is_no_successor(
    herd: Herd,
) -> None:
    herd.be("unready")
    with capture_logs() as logs:
        herd.start(1)
        await herd.all_answer(1)
    assert of(logs, "does not deliver")[0]["why"] == "the bus does not answer"


# --- rolling restart ---


async def test_a_roll_replaces_one_after_another_and_refuses_no_connection(herd: Herd) -> None:
    refused = 0
    asked = 0
    done = False

    async def hammer(port: Callable[[], int]) -> None:
        nonlocal refused, asked
        while not done:
            try:
                await herd.ask(port())
            except ConnectionError:
                refused += 1
            asked += 1

    with capture_logs() as logs:
        herd.start(3)
        before = await herd.all_answer(3)
        own = int(of(logs, "node is ready")[0]["node_addr"].rpartition(":")[2])
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(hammer(lambda: herd.port))
            group.create_task(hammer(lambda: own))
            herd.supervisor.roll()
            await until(lambda: of(logs, "restart done"))
            done = True
        after = await herd.all_answer(3)
    assert refused == 0
    assert asked > 50
    assert set(after) == set(before)
    assert set(after.values()).isdisjoint(before.values())
    # The new one of each is ready before the old one leaves, and then the next one's turn comes.
    later = herd.notes[3:]
    assert [what for _, _, what in later] == ["starts", "leaves", "ends"] * 3
    assert [name for name, _, _ in later] == [f"gate-{n}" for n in (1, 2, 3) for _ in range(3)]
    assert not of(logs, "started again")


@pytest.mark.parametrize(
    ("mood", "why", "seconds"),
    [
        ("refused", "this node refused", 10),
        ("crash", "ended with status 3", 10),
        # These take the whole time, in which a busy machine must have begun the program.
        ("unready", "the bus does not answer", 3),
        ("hang", "not ready within 3 s", 3),
    ],
)
async def test_a_new_node_that_fails_stops_the_roll_and_the_old_ones_serve_on(
    herd: Herd, mood: str, why: str, seconds: float
) -> None:
    with capture_logs() as logs:
        herd.start(patience=Patience(to_be_ready=seconds, in_a_hurry=1))
        before = await herd.all_answer()
        herd.be(mood)
        herd.supervisor.roll()
        await until(lambda: of(logs, "restart stopped"))
        await until(lambda: not alive(herd.pids()[-1]))
        assert await herd.all_answer() == before
        assert len(herd.pids()) == 3
        assert of(logs, "restart stopped")[0]["why"] == why
        herd.be("well")
        herd.supervisor.roll()
        await until(lambda: of(logs, "restart done"))
    assert set((await herd.all_answer()).values()).isdisjoint(before.values())
    assert not of(logs, "started again")


async def test_a_wish_for_a_roll_during_a_roll_is_fulfilled_after_it(herd: Herd) -> None:
    with capture_logs() as logs:
        herd.start()
        await herd.all_answer()
        herd.supervisor.roll()
        await until(lambda: len(herd.pids()) == 3)
        herd.supervisor.roll()
        herd.supervisor.roll()
        await until(lambda: of(logs, "restart done"))
    assert len(herd.pids()) == 6


async def test_an_old_node_that_is_frozen_is_replaced_and_killed(herd: Herd) -> None:
    with capture_logs() as logs:
        herd.start(1)
        old = (await herd.all_answer(1))["gate-1"]
        os.kill(old, signal.SIGSTOP)
        herd.supervisor.roll()
        await until(lambda: of(logs, "restart done"), 20)
        assert not alive(old)
        assert (await herd.all_answer(1))["gate-1"] != old
        assert of(logs, "does not end and is killed")


# --- the end ---


async def test_the_end_is_good_when_all_end_well(herd: Herd) -> None:
    herd.start(3)
    await herd.all_answer(3)
    herd.supervisor.end()
    assert await herd.status() == 0
    assert sorted(herd.pids("ends")) == sorted(herd.pids())
    with pytest.raises(ConnectionRefusedError):
        await herd.ask(herd.port)


async def test_a_node_that_does_not_end_is_killed_and_the_status_tells(herd: Herd) -> None:
    herd.be("deaf")
    with capture_logs() as logs:
        herd.start()
        await herd.all_answer()
        herd.supervisor.end()
        assert await herd.status() == 1
    assert len(of(logs, "does not end and is killed")) == 2


async def test_a_second_wish_for_the_end_does_not_wait(herd: Herd) -> None:
    herd.be("deaf")
    herd.start(drain_seconds=600)
    await herd.all_answer()
    herd.supervisor.end()
    herd.supervisor.end()
    async with asyncio.timeout(5):
        assert await herd.status() == 0


async def test_the_end_during_a_start_and_during_a_roll_leaves_nobody_behind(herd: Herd) -> None:
    herd.start()
    await until(lambda: herd.pids())
    herd.supervisor.end()
    await herd.status()
    herd.start()
    await herd.all_answer()
    herd.be("hang")
    herd.supervisor.roll()
    count = len(herd.pids())
    await until(lambda: len(herd.pids()) > count)
    herd.supervisor.end()
    await herd.status()


# --- signals, on a supervisor that is a process ---


@pytest.fixture
async def process(herd: Herd) -> AsyncIterator[asyncio.subprocess.Process]:
    log = (herd.folder / "log").open("wb")
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "run_supervisor.py"),
        stderr=log,
        start_new_session=True,
    )
    log.close()
    await until(lambda: len(told(herd, "node is ready")) == 2, 20)
    yield started
    if started.returncode is None:
        started.kill()
        await started.wait()
    await until(lambda: not any(alive(pid) for pid in herd.pids()))


def told(herd: Herd, event: str) -> list[dict[str, Any]]:
    """What the supervisor logged, as programs read it."""
    rows = (herd.folder / "log").read_text().split("\n")[:-1]
    return of([json.loads(row) for row in rows], event)


async def test_a_killed_supervisor_leaves_no_orphans(
    herd: Herd, process: asyncio.subprocess.Process
) -> None:
    process.kill()
    await process.wait()
    await until(lambda: len(herd.pids("ends")) == 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_end_all(
    herd: Herd, process: asyncio.subprocess.Process, number: signal.Signals
) -> None:
    process.send_signal(number)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await process.wait() == 0
    assert len(herd.pids("ends")) == 2


async def test_sighup_replaces_all(herd: Herd, process: asyncio.subprocess.Process) -> None:
    first = told(herd, "node is ready")
    process.send_signal(signal.SIGHUP)
    await until(lambda: told(herd, "restart done"))
    assert len(herd.pids("leaves")) == 2
    later = told(herd, "node is ready")[2:]
    assert {r["node"]: r["node_addr"] for r in later} == {r["node"]: r["node_addr"] for r in first}
    assert {r["pid"] for r in later}.isdisjoint(r["pid"] for r in first)
