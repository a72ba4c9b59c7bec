"""The memory of locked channels, by a clock of our own."""

from typing import Any

from storm_gateway.store import aside as module
from storm_gateway.store.aside import Aside
from storm_gateway.store.hot import Append, Hot
from storm_gateway.store.records import AppendMessage

PATIENCE, LIMIT = 2.0, 2.5


def write(channel_id: int, user_id: str = "alice") -> Append:
    return Append(AppendMessage(channel_id, user_id, "", 0, None), lambda _: None, lambda _: None)


def try_(aside: Aside, now: float, held: dict[int, int | None]) -> tuple[list[Hot], list[Hot]]:
    """One try that finds this locked: what was stored, and what was refused."""
    asked = aside.needs()
    free, more = aside.free(held, (), 100)
    assert not more
    aside.remove(free)
    return free, aside.tried(now, asked, {id_: held[id_] for id_ in asked[0] if id_ in held}, ())


def test_a_channel_whose_head_stands_still_is_refused_after_the_patience_and_then_at_once() -> None:
    aside = Aside(PATIENCE, LIMIT)
    first, other = write(1), write(2)
    aside.add([first, other], 0.0)
    assert try_(aside, 0.0, {1: 7}) == ([other], [])
    assert try_(aside, PATIENCE - 0.1, {1: 7}) == ([], [])
    assert try_(aside, PATIENCE, {1: 7}) == ([], [first])
    later, free = write(1), write(2)
    assert aside.sift([later, free], PATIENCE + 0.5) == [free]
    assert try_(aside, PATIENCE + 0.6, {1: 7}) == ([], [later])
    # Known to be stuck, and still tried: the first that finds it free is stored.
    last = write(1)
    assert aside.sift([last], PATIENCE + 1) == []
    assert try_(aside, PATIENCE + 1, {}) == ([last], [])
    assert aside.sift([last], PATIENCE + 1) == [last]


def test_a_channel_whose_head_moves_is_waited_for_again_and_refuses_nobody_early() -> None:
    aside = Aside(PATIENCE, LIMIT)
    waiting = write(1)
    aside.add([waiting], 0.0)
    waits = 0
    for step in range(49):
        now = step * 0.05
        assert try_(aside, now, {1: step}) == ([], [])
        waits += bool(aside.busy(now))
    assert 3 <= waits <= now / module.WAIT_AGAIN_SECONDS
    assert try_(aside, LIMIT, {1: 100}) == ([], [waiting])
    assert len(aside) == 0


def test_a_channel_that_was_waited_for_is_like_any_other_again() -> None:
    aside = Aside(PATIENCE, LIMIT)
    waiting = write(1)
    aside.add([waiting], 0.0)
    try_(aside, 0.0, {1: 1})
    try_(aside, 0.6, {1: 2})
    assert aside.busy(0.6) == [waiting]
    aside.settled([waiting])
    assert aside.sift([waiting], 0.7) == [waiting]


def test_what_comes_later_stays_behind_what_could_not_go_yet() -> None:
    aside = Aside(PATIENCE, LIMIT)
    writes = [write(1) for _ in range(5)]
    aside.add(writes, 0.0)
    try_(aside, 0.0, {1: 1})
    free, more = aside.free({}, (), 3)
    assert (free, more) == (writes[:3], True)
    aside.remove(free)
    aside.tried(0.1, ({1}, set()), {}, ())
    late = write(1)
    assert aside.sift([late], 0.1) == []
    assert try_(aside, 0.2, {}) == ([*writes[3:], late], [])


def test_locks_are_forgotten_when_nobody_asks_and_never_pile_up(monkeypatch: Any) -> None:
    aside = Aside(PATIENCE, LIMIT)
    aside.remember([1], 0.0)
    assert list(aside.locked) == [1]
    aside.remember([2], module.REMEMBERED_SECONDS)
    assert list(aside.locked) == [2]
    monkeypatch.setattr(module, "REMEMBERED", 3)
    waiting = write(100)
    aside.add([waiting], 10.0)
    try_(aside, 10.0, {100: 1})
    for channel_id in range(3, 50):
        aside.remember([channel_id], 10.0)
    assert len(aside.locked) == 3
    assert 100 in aside.locked


def test_a_lock_that_nobody_looked_for_counts_from_its_beginning() -> None:
    aside = Aside(PATIENCE, LIMIT)
    aside.remember([1], 0.0)
    waiting = write(1)
    aside.sift([waiting], 5.0)
    assert try_(aside, 5.0, {1: 1}) == ([], [])
    assert try_(aside, 5.0 + PATIENCE, {1: 1}) == ([], [waiting])


def test_the_next_try_is_due_only_while_something_waits() -> None:
    aside = Aside(PATIENCE, LIMIT)
    assert aside.pause(0.0) is None
    aside.add([write(1)], 0.0)
    assert aside.pause(0.0) == 0.0
    try_(aside, 0.0, {1: 1})
    assert aside.pause(0.0) == module.AGAIN_SECONDS


def test_where_a_try_takes_seconds_a_write_has_as_many_tries_and_not_as_little_time() -> None:
    aside = Aside(PATIENCE, LIMIT)
    waiting = write(1)
    aside.add([waiting], 0.0)
    asked = aside.needs()
    took = 2.0
    for tries in range(1, module.TRIES):
        # Others write to the channel between any two tries: nothing is stuck.
        assert aside.tried(tries * took, asked, {1: tries}, (), took) == []
    assert aside.tried(module.TRIES * took, asked, {1: 9}, (), took) == [waiting]


def test_where_a_try_takes_seconds_a_lock_that_stands_still_is_stuck_later() -> None:
    aside = Aside(PATIENCE, LIMIT)
    waiting = write(1)
    aside.add([waiting], 0.0)
    asked = aside.needs()
    assert aside.tried(0.0, asked, {1: 7}, (), 2.0) == []
    # Seen with more than three seconds between: it is the same lock all the same.
    assert aside.tried(3.5, asked, {1: 7}, (), 2.0) == []
    assert aside.tried(7.0, asked, {1: 7}, (), 2.0) == []
    assert aside.tried(8.0, asked, {1: 7}, (), 2.0) == [waiting]
    # Known to be stuck: the next is refused at its first try.
    later = write(1)
    assert aside.sift([later], 8.5) == []
    assert aside.tried(9.0, aside.needs(), {1: 7}, (), 2.0) == [later]


def test_one_quick_try_ends_nobodys_patience() -> None:
    aside = Aside(PATIENCE, LIMIT)
    waiting = write(1)
    aside.add([waiting], 0.0)
    asked = aside.needs()
    assert aside.tried(2.0, asked, {1: 1}, (), 2.0) == []
    assert aside.tried(LIMIT + 0.1, asked, {1: 2}, (), 0.01) == []
    # Several of them do.
    assert aside.tried(4.1, asked, {1: 3}, (), 0.01) == [waiting]


def test_however_long_a_try_takes_a_write_is_refused_in_the_end() -> None:
    aside = Aside(PATIENCE, LIMIT)
    waiting = write(1)
    aside.add([waiting], 0.0)
    asked = aside.needs()
    assert aside.tried(module.LONGEST_SECONDS - 0.1, asked, {1: 1}, (), 9.0) == []
    assert aside.tried(module.LONGEST_SECONDS, asked, {1: 2}, (), 9.0) == [waiting]
