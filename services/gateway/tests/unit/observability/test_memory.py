"""Memory is given back when most of a crowd has left, and once more a little later."""

import sys

import pytest

from storm_gateway.observability import memory
from storm_gateway.observability.memory import AGAIN, LOOKS, Trimmer


def looks(trimmer: Trimmer, *connections: int) -> list[bool]:
    return [trimmer.look(count) for count in connections]


def test_memory_is_given_back_when_most_have_left_and_no_more_leave() -> None:
    given: list[object] = []

    def trim(keep: int) -> int:
        given.append(keep)
        return 1

    trimmer = Trimmer(trim, lambda: given.append("collected"), lambda: given.append("fitted"))
    assert not any(looks(trimmer, 0, *[10_000] * 20, 9_000, *[6_000] * 20))
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
    trimmer = Trimmer(lambda _: 1, lambda: None)
    assert any(looks(trimmer, 10_000, *[2_000] * (AGAIN // 2)))
    assert not any(looks(trimmer, *[9_000] * 3 * AGAIN))


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
