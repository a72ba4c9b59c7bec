# ruff: noqa: S607 what is started here is ours or the system's
"""Each server can be started, watched, frozen, killed and started again, and says why it ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from stack_harness import lives, until

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.process import Server
from storm_gateway.stack.processes import family_of

Make = Callable[[str], Server]
ALL = pytest.mark.parametrize("kind", ["nats", "valkey", "postgres", "node"])


@ALL
def test_server_is_frozen_killed_and_started_again(make: Make, kind: str) -> None:
    server = make(kind)
    assert not server.running
    assert not server.answers()
    server.start()
    first, port = server.pid, server.port
    assert server.running
    assert server.answers()

    server.pause()
    assert server.running
    assert not server.answers()
    server.resume()
    until(server.answers, "it goes on after the pause")
    assert server.pid == first

    family = family_of(server.pid)
    server.kill()
    assert not server.running
    assert not server.answers()
    assert not [pid for pid in family if lives(pid)], "a descendant is left"
    assert not server.died, "it did not end by itself"

    server.start()
    assert server.pid != first
    assert server.port == port

    server.pause()
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 10, "one that is frozen cannot end by itself"
    assert not server.running
    assert not server.paused
    assert not server.died
    server.stop()


@ALL
def test_server_that_ends_by_itself_says_how_and_its_last_words(make: Make, kind: str) -> None:
    server = make(kind)
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.died, "its end is noticed")
    why = server.why_it_ended()
    assert why.startswith(f"{server.name} was killed by SIGKILL.\n    ")
    assert server.log_path.read_text().splitlines()[-1] in why
    # What descendants it had may live a moment longer; a start does not mind.
    server.start()
    assert not server.died
    server.stop()


def test_server_that_cannot_start_says_why_in_its_own_words(make: Make) -> None:
    server = make("postgres")
    server.settings["no_such_setting"] = "1"  # type: ignore[attr-defined]
    with pytest.raises(StackError, match=r"ended with status 1\.\n.*no_such_setting"):
        server.start()


def test_last_words_are_of_this_run(make: Make) -> None:
    server = make("nats")
    server.start()
    before = server.pid
    server.restart()
    assert f"[{server.pid}]" in server.last_words()
    assert f"[{before}]" not in server.last_words()
    assert f"[{before}]" in server.log_path.read_text()


def test_server_that_does_not_answer_in_time_is_ended(make: Make) -> None:
    server = make("valkey")
    server.launch()
    server.pause()
    with pytest.raises(StackError, match=r"valkey did not answer in 0\.1 s"):
        server.wait(0.1)
    assert not server.running


def test_log_that_has_grown_is_put_aside_at_the_next_start(make: Make) -> None:
    server = make("nats")
    server.folder.mkdir(exist_ok=True)
    server.log_path.write_bytes(b"old\n" * 2_000_000)
    server.start()
    assert server.log_path.stat().st_size < 100_000
    assert server.log_path.with_suffix(".log.1").read_text().startswith("old\n")


# --- what an owner left behind ---


@ALL
def test_server_left_by_a_killed_owner_is_ended_before_the_next_start(
    make: Make, kind: str
) -> None:
    left = make(kind)
    left.start()
    family = family_of(left.pid)
    left.pause()
    again = make(kind)
    again.start()
    assert not [pid for pid in family if lives(pid)], "something is left"
    assert again.port == left.port
    assert again.answers()


def test_process_that_has_got_the_pid_of_an_earlier_server_is_left_alone(make: Make) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        try:
            server = make("nats")
            server.folder.mkdir(exist_ok=True)
            (server.folder / "nats.pid").write_text(f"{other.pid} another-boot 12345\n")
            server.start()
            assert other.poll() is None
            # The same for PostgreSQL's own mark.
            database = make("postgres")
            database.start()
            database.kill()
            mark = database.folder / "data/postmaster.pid"
            lines = mark.read_text().splitlines()
            mark.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
            database.start()
            assert other.poll() is None
        finally:
            other.kill()


def test_postgres_whose_first_start_was_interrupted_begins_anew(make: Make) -> None:
    server = make("postgres")
    half = server.folder / "data.draft"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    assert server.answers()
    assert not half.exists()
