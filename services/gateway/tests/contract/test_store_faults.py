"""What breaks: nothing is acknowledged that is not stored, and the store comes back by itself."""

import asyncio
import random
import resource
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from store_harness import GENERAL, Harness, allow, only_sqlite, start

from storm_gateway.errors import (
    ForbiddenError,
    InternalError,
    NotFoundError,
    StormError,
    UnavailableError,
)
from storm_gateway.store.records import Appended, AppendMessage, Committed
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.transaction import Transaction

POISON = "a lone surrogate, which no database can store: \ud800"


def _broken_rule(*_: object) -> None:
    raise ZeroDivisionError


async def test_a_poison_message_harms_none_of_its_batch(harness: Harness) -> None:
    futures = [
        harness.send(
            GENERAL, "alice", POISON if number == 7 else f"text {number}", ref=f"r{number}"
        )
        for number in range(20)
    ]
    joined = harness.enter(GENERAL, "bob")
    broken = harness.send(GENERAL, "alice", "rule", rule=_broken_rule)
    results = await asyncio.gather(*futures, joined, broken, return_exceptions=True)
    assert isinstance(results[7], InternalError)
    assert isinstance(results[21], InternalError)
    assert [type(result) for result in results].count(InternalError) == 2
    log = await harness.log(GENERAL)
    assert log == harness.events
    assert [event.payload for event in log[:-1]] == [f"text {n}" for n in range(20) if n != 7]
    assert harness.metrics.counts.messages == 19


async def test_a_poison_write_that_is_not_hot_harms_nobody_else(harness: Harness) -> None:
    await harness.append(GENERAL, "alice")
    messages = harness.store.messages
    results = await asyncio.gather(
        harness.send(GENERAL, "alice", "one"),
        messages.edit(GENERAL, 1, "alice", POISON, None, allow),
        messages.edit(GENERAL, 1, "alice", "new", None, _broken_rule),
        messages.react(GENERAL, 1, "alice", "+", add=True, ref=None, rule=allow),
        harness.send(GENERAL, "alice", "two"),
        return_exceptions=True,
    )
    assert [isinstance(result, InternalError) for result in results] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert await harness.log(GENERAL) == harness.events
    assert "\ud800" not in str(results[1])


async def test_refusals_beside_a_poison_message_stay_what_they_are(harness: Harness) -> None:
    def no(*_: object) -> None:
        raise ForbiddenError("No.")

    results = await asyncio.gather(
        harness.send(GENERAL, "alice", POISON),
        harness.send(GENERAL, "alice", "x", rule=no),
        harness.send(4711, "alice"),
        harness.store.channels.leave(GENERAL, "alice"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [
        InternalError,
        ForbiddenError,
        NotFoundError,
        NotFoundError,
    ]


async def test_what_a_listener_or_a_caller_throws_stops_nobody(open_store) -> None:
    harness = await open_store()

    def throw(committed: Committed) -> None:
        harness.said.append(committed)
        raise ZeroDivisionError

    harness.store._commits._committed = throw  # type: ignore[attr-defined]
    heard = []

    def done(result: object) -> None:
        heard.append(result)
        raise ZeroDivisionError

    for _ in range(3):
        future = harness.send(GENERAL, "alice")
        harness.store.messages.append(AppendMessage(GENERAL, "bob", "x", 0), allow, done)
        await future
    assert len(heard) == 3


async def _pragma(harness: Harness, pragma: str) -> int:
    """A PRAGMA on the connection that writes."""

    def write(tx: Transaction) -> int:
        return int(tx.connection.execute(text(f"PRAGMA {pragma}")).scalar_one())

    store = harness.store
    assert isinstance(store, SqlStore)
    return await store._commits.write(write)


@only_sqlite
async def test_a_full_disk_is_told_nothing_is_acked_and_space_heals_it(harness: Harness) -> None:
    await harness.append(GENERAL, "alice", "before")
    pages = await _pragma(harness, "page_count")
    await _pragma(harness, f"max_page_count={pages + 3}")
    acked, refused = ["before"], []
    for number in range(30):
        payloads = [f"{number}-{i} " + "x" * 500 for i in range(4)]
        for payload, result in zip(
            payloads,
            await asyncio.gather(
                *[harness.send(GENERAL, "alice", payload) for payload in payloads],
                return_exceptions=True,
            ),
            strict=True,
        ):
            (refused if isinstance(result, StormError) else acked).append(payload)
            if isinstance(result, StormError):
                assert isinstance(result, UnavailableError)
                assert "full" in result.message
                assert result.retry_after_ms
    assert refused
    for attempt in (
        harness.store.users.create("x" * 5000, "y" * 5000, None),
        harness.store.messages.edit(GENERAL, 1, "alice", "z" * 60_000, None, allow),
    ):
        with pytest.raises(UnavailableError):
            await attempt
    assert [event.payload for event in await harness.log(GENERAL)] == acked
    assert harness.events == await harness.log(GENERAL)

    await _pragma(harness, f"max_page_count={pages + 10_000}")
    await asyncio.gather(*[harness.send(GENERAL, "alice", payload) for payload in refused])
    assert len(await harness.log(GENERAL)) == len(acked) + len(refused)


@contextmanager
def _no_file_may_grow_over(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@only_sqlite
async def test_a_write_that_the_system_refuses_is_not_acked_and_the_store_comes_back(
    harness: Harness,
) -> None:
    await harness.append(GENERAL, "alice", "before")
    size = (harness.config.data_dir / "storm.db-wal").stat().st_size
    with _no_file_may_grow_over(size):
        results = await asyncio.gather(
            *[harness.send(GENERAL, "alice", "x" * 4000) for _ in range(20)],
            return_exceptions=True,
        )
        # The disk may be usable again once the store has closed its log and begun a new one:
        # what counts is that what was acked is there and nothing else.
        acked = [result.event.payload for result in results if isinstance(result, Appended)]
        assert any(isinstance(result, UnavailableError) for result in results)
        assert len(await harness.log(GENERAL)) == 1 + len(acked)
    await harness.append(GENERAL, "alice", "after")
    log = [event.payload for event in await harness.log(GENERAL)]
    assert log == ["before", *acked, "after"]


async def test_too_many_waiting_writes_are_refused_at_once(open_store) -> None:
    harness = await open_store(commit_queue=10)
    results = await asyncio.gather(
        *[harness.send(GENERAL, "alice", str(i)) for i in range(50)],
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, UnavailableError)]
    assert len(refused) == 40
    assert all(refusal.retry_after_ms for refusal in refused)
    assert [event.payload for event in await harness.log(GENERAL)] == [str(i) for i in range(10)]
    await harness.append(GENERAL, "alice")


async def test_the_settings_of_the_batch_are_kept(open_store) -> None:
    harness = await open_store(commit_batch=10, commit_milliseconds=1)
    await asyncio.gather(*[harness.send(GENERAL, "alice") for _ in range(100)])
    sizes = [len(said.what) for said in harness.said if said.kind == "committed"]
    assert max(sizes) == 10
    assert sum(sizes) == 100


@only_sqlite
async def test_a_lock_of_another_process_is_unavailable_and_passes(open_store) -> None:
    harness = await open_store(store_timeout_seconds=0.1)
    if not harness.store._database.facts.safe:  # type: ignore[attr-defined]
        pytest.skip("with an unsafe SQLite no other process can come near the file")
    # The driver of the store: an older SQLite must not open the file while it is in use.
    from pysqlite3 import dbapi2

    with closing(dbapi2.connect(harness.config.data_dir / "storm.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError) as refusal:
            await harness.append(GENERAL, "alice")
        assert refusal.value.retry_after_ms
        with pytest.raises(UnavailableError):
            await harness.store.probe(0.05)
        other.rollback()
    await harness.append(GENERAL, "alice")
    await harness.store.probe(1)


@only_sqlite
async def test_an_unsafe_sqlite_lets_no_second_process_at_the_file(open_store, tmp_path) -> None:
    harness = await open_store()
    if harness.store._database.facts.safe:  # type: ignore[attr-defined]
        pytest.skip("a safe SQLite may be shared")
    with pytest.raises(UnavailableError):
        await start(tmp_path / "data", store_timeout_seconds=0.05)
    await harness.append(GENERAL, "alice")


async def test_reads_are_served_while_writes_never_pause(harness: Harness) -> None:
    stop = False

    async def write() -> None:
        while not stop:
            await harness.append(GENERAL, "alice")

    writers = [asyncio.create_task(write()) for _ in range(20)]
    for _ in range(20):
        await harness.store.messages.page(GENERAL, limit=10)
    stop = True
    await asyncio.gather(*writers)


async def test_a_loop_that_never_rests_does_not_starve_the_writer(open_store) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    try:
        harness = await open_store()
        # A machine with idle cores shows the starvation, a busy one hides it: so this too.
        assert sys.getswitchinterval() <= 0.0001
        acked = 0

        def send(*_: object) -> None:
            nonlocal acked
            acked += 1
            message = AppendMessage(GENERAL, "alice", "x", 0)
            harness.store.messages.append(message, allow, send)

        send()
        until = time.monotonic() + 20
        # Work without a pause, in slices shorter than Python's own patience, and a poll between.
        while acked < 20 and time.monotonic() < until:
            slice_ends = time.perf_counter() + 0.001
            while time.perf_counter() < slice_ends:
                pass
            await asyncio.sleep(0)
        assert acked >= 20
    finally:
        sys.setswitchinterval(before)


async def test_writes_whose_loop_is_gone_are_committed_and_the_thread_ends(
    tmp_path: Path,
) -> None:
    stores = []

    async def send_and_go() -> None:
        harness = await start(tmp_path / "data")
        stores.append(harness.store)
        harness.send(GENERAL, "alice").cancel()

    await asyncio.to_thread(asyncio.run, send_and_go())
    thread = stores[0]._commits._thread
    if thread.is_alive():
        # It may wait for more: what it has to tell then finds no loop either.
        stores[0]._commits._queue.put(None)
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    stores[0]._database.close()
    harness = await start(tmp_path / "data")
    assert len(await harness.log(GENERAL)) == 1
    await harness.store.stop()


async def test_a_read_that_takes_too_long_is_cut_short(open_store) -> None:
    harness = await open_store(store_timeout_seconds=0.2)
    store = harness.store
    assert isinstance(store, SqlStore)
    endless = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )
    started = time.monotonic()
    for _ in range(2):
        results = await asyncio.gather(
            *[store._reads.run(lambda connection: connection.execute(endless)) for _ in range(6)],
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {UnavailableError}
    assert time.monotonic() - started < 5
    # The threads and connections are free again.
    assert (await store.channels.get(GENERAL)).name == "general"


async def test_a_fault_of_ours_in_a_read_is_internal_and_says_nothing(harness: Harness) -> None:
    store = harness.store
    assert isinstance(store, SqlStore)
    with pytest.raises(InternalError) as refusal:
        await store._reads.run(lambda connection: connection.execute(text("SELECT secret")))
    assert "secret" not in refusal.value.message


async def test_stop_commits_what_waits_and_refuses_what_comes_later(open_store) -> None:
    harness = await open_store()
    futures = [harness.send(GENERAL, "alice", str(i)) for i in range(100)]
    await harness.store.stop()
    assert all(future.done() for future in futures)
    for attempt in (
        harness.append(GENERAL, "alice"),
        harness.store.channels.get(GENERAL),
        harness.store.probe(1),
    ):
        with pytest.raises(UnavailableError):
            await attempt
    again = await open_store()
    assert len(await again.log(GENERAL)) == 100


async def test_a_caller_that_went_away_does_no_harm(harness: Harness) -> None:
    for attempt in (harness.store.users.ensure, harness.store.users.get):
        task = asyncio.ensure_future(attempt("bob"))
        await asyncio.sleep(0)
        task.cancel()
        # Where the answer was faster, it is given.
        with suppress(asyncio.CancelledError):
            await task
    await harness.append(GENERAL, "alice")


async def test_a_damaged_file_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "storm.db").write_bytes(b"this is not a database" * 500)
    with pytest.raises(UnavailableError) as refusal:
        await start(tmp_path / "data")
    assert "damaged" in refusal.value.message


async def test_the_store_answers_a_probe(harness: Harness) -> None:
    await harness.store.probe(5)


async def test_kill_9_loses_no_acked_message(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    acked: dict[str, tuple[int, int]] = {}
    pick = random.Random(3)
    for round_ in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("store_child.py")),
            str(data_dir),
            str(round_),
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        lines = [await child.stdout.readline()]
        # Somewhere in the midst of its commits, never after a quiet moment.
        lines += [await child.stdout.readline() for _ in range(pick.randrange(100, 1500))]
        child.kill()
        lines.extend((await child.stdout.read()).splitlines(keepends=True))
        await child.wait()
        for line in lines:
            if line.endswith(b"\n"):
                id_, seq, user_id, ref = line.decode().split()
                assert f"{user_id} {ref}" not in acked
                acked[f"{user_id} {ref}"] = (int(id_), int(seq))

        harness = await start(data_dir)
        log = await harness.log(GENERAL)
        stored = {event.payload: (event.id, event.seq) for event in log}
        assert len(stored) == len(log)
        assert {payload: stored.get(payload) for payload in acked} == acked
        # A sender that heard nothing tries again and gets what was stored, if it was.
        text_, (id_, seq) = next(reversed(stored.items()))
        user_id, ref = text_.split()
        again = await harness.append(GENERAL, user_id, text_, ref=ref)
        assert (again.repeated, again.event.id, again.event.seq) == (True, id_, seq)
        await harness.store.stop()
        with closing(sqlite3.connect(data_dir / "storm.db")) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(acked) > 300
