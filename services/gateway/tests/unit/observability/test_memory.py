"""Memory is given back when a crowd has come, when most of it has left, and a little later."""
# ruff: noqa: S603 Python is started

import os
import subprocess
import sys

import pytest

from storm_gateway.observability import memory
from storm_gateway.observability.allocator import environment
from storm_gateway.observability.memory import AGAIN, LEAST, LOOKS, MORE, Trimmer


def looks(trimmer: Trimmer, *connections: int) -> list[bool]:
    return [trimmer.look(count) for count in connections]


def trimmer_of(given: list[object]) -> Trimmer:
    """One that writes down what it does."""

    def trim(keep: int) -> int:
        given.append(keep)
        return 1

    return Trimmer(trim, lambda: given.append("collected"), lambda: given.append("fitted"))


def test_what_a_crowd_needed_to_come_is_given_back_once_all_are_there() -> None:
    given: list[object] = []
    trimmer = trimmer_of(given)
    assert not any(looks(trimmer, *range(0, 10_000, 1_000)))
    here = looks(trimmer, *[10_000] * 50)
    assert [index for index, gave in enumerate(here) if gave] == [LOOKS]
    # No full collection: it would stand in the way of those who are there.
    assert given == [0]


def test_it_is_given_back_again_only_when_many_more_have_come() -> None:
    given: list[object] = []
    trimmer = trimmer_of(given)
    few, many = 10_000, int(10_000 * MORE)
    assert any(looks(trimmer, *[few] * 10))
    assert not any(looks(trimmer, *[many - 1] * 10))
    assert any(looks(trimmer, *[many] * 10))
    assert given == [0, 0]


def test_a_few_who_have_come_are_no_crowd() -> None:
    given: list[object] = []
    assert not any(looks(trimmer_of(given), *[LEAST - 1] * 20))
    assert given == []


def test_memory_is_given_back_when_most_have_left_and_no_more_leave() -> None:
    given: list[object] = []
    trimmer = trimmer_of(given)
    looks(trimmer, 0, *[10_000] * 20)
    given.clear()
    assert not any(looks(trimmer, 9_000, *[6_000] * 20))
    left = looks(trimmer, *[3_000] * 20)
    assert left.index(True) == LOOKS
    assert given == ["fitted", "collected", 0]  # once
    assert not any(looks(trimmer, *[2_000] * 10))
    left = looks(trimmer, *[1_000] * 20)
    assert [index for index, gave in enumerate(left) if gave] == [0, LOOKS]  # again; and anew


def test_it_is_given_back_once_more_when_nothing_is_remembered_of_them_any_more() -> None:
    trimmer = Trimmer(lambda _: 1, lambda: None)
    left = looks(trimmer, 10_000, *[0] * 200)
    assert [index for index, gave in enumerate(left) if gave] == [LOOKS + 1, LOOKS + 1 + AGAIN]


def test_nobody_waits_for_it_who_has_come_back_meanwhile() -> None:
    given: list[object] = []
    trimmer = trimmer_of(given)
    assert any(looks(trimmer, 10_000, *[2_000] * (AGAIN // 2)))
    assert given.count("collected") == 1
    looks(trimmer, *[9_000] * 3 * AGAIN)
    assert given.count("collected") == 1


def test_nobody_waits_for_it_while_more_leave() -> None:
    trimmer = Trimmer(lambda _: pytest.fail("they are still leaving"))
    assert not any(looks(trimmer, *range(10_000, 0, -700)))


def test_a_few_connections_are_no_crowd() -> None:
    trimmer = Trimmer(lambda _: pytest.fail("nothing is worth it"))
    assert not any(looks(trimmer, *[900] * 20, *[0] * 20))


def test_a_system_that_has_no_such_call_is_fine() -> None:
    assert any(looks(Trimmer(None), 2_000, *[0] * 20))


@pytest.mark.skipif(sys.platform != "linux", reason="a call of glibc")
def test_the_call_of_this_system_can_be_called() -> None:
    trim = memory._trimmer()
    assert trim is None or trim(0) in (0, 1)


KEEPS = """
import re, sys
from storm_gateway.observability import memory

def resident() -> int:
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\\s+(\\d+)", status.read())[1]) // 1024

# Between every two objects that stay are many that go, as where a crowd was.
all_of_it = [bytes(200) for _ in range(400_000)]
most = resident()
kept = all_of_it[::400]
del all_of_it
assert memory._trim is not None
assert memory._trim(0) == 0, "jemalloc knows no such call"
print(most - resident(), memory._trim.__name__)
"""


def test_jemalloc_gives_back_what_is_free_between_what_stays() -> None:
    """In a process that has it; with Python's own allocator arenas of 1 MiB would stay."""
    found = environment("auto", {})
    if not found:
        pytest.skip("jemalloc is not on this machine (Debian: libjemalloc2)")
    ran = subprocess.run(
        [sys.executable, "-c", KEEPS],
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        check=True,
    )
    given_back, told = ran.stdout.split()
    assert told == "purge"
    assert int(given_back) > 60, "of 90 MiB"
