"""A room of presence tells exactly what changed since it told last, however little it keeps."""

import random
from itertools import pairwise

import pytest

from storm_gateway.presence.room import Room

NAMED, KNOWN = 4, 6
"""Named in a telling, and kept by name, at most."""
PEOPLE = [f"user{number}" for number in range(9)]


class Model:
    """Who was told, written down in full."""

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.leaving: set[str] = set()
        self.others: set[str] | None = set()
        self.told: set[str] | None = set()

    @property
    def names(self) -> set[str] | None:
        if self.others is None:
            return None
        found = self.own | self.leaving | self.others
        return found if len(found) <= KNOWN else None


def step(dice: random.Random, room: Room, model: Model) -> None:
    user = dice.choice(PEOPLE)
    what = dice.randrange(6)
    if what == 0 and user not in model.own:
        room.come(user)
        model.own.add(user)
        model.leaving.discard(user)
    elif what == 1 and user in model.own:
        room.go(user)
        model.own.discard(user)
        model.leaving.add(user)
    elif what == 2:
        others = set(dice.sample(PEOPLE, dice.randrange(5)))
        known = dice.random() < 0.8
        room.learned(len(others), " ".join(others) if known else None)
        model.others = others if known else None
        model.leaving &= room.pending
    elif what == 3:
        room.leave_all()
        model.leaving = set()
    elif what == 4 and user in model.own:
        # In the grace, back, or with a second connection: it is online all the same.
        room.count(user, dice.randrange(3))
    else:
        room.fit()
        room.wrote(user, dice.random() < 0.5)


@pytest.mark.parametrize("seed", range(60))
def test_each_telling_has_who_came_and_who_left_since_the_one_before(seed: int) -> None:
    dice = random.Random(seed)
    room, model = Room(), Model()
    named = 0
    for turn in range(400):
        for _ in range(dice.randrange(4)):
            step(dice, room, model)
        before, now = model.told, model.names
        model.told = now
        change = room.change(7, NAMED, KNOWN, float(turn))
        if now is None or before is None:
            assert change is None or (change.joined, change.left) == (None, None)
            continue
        if now == before:
            assert change is None
            continue
        assert change is not None
        assert change.online == len(now)
        if len(now) > NAMED:
            assert (change.joined, change.left) == (None, None)
        else:
            assert (change.joined, change.left) == (sorted(now - before), sorted(before - now))
            named += 1
    assert named > 5


def test_what_was_told_and_is_still_so_is_kept_once() -> None:
    room = Room()
    room.come("alice")
    room.learned(2, "bob carla")
    first = room.change(7, NAMED, KNOWN, 0.0)
    assert first is not None
    assert first.joined == ["alice", "bob", "carla"]
    strings = [getattr(room, name) for name in Room.__slots__]
    assert sum("bob" in each for each in strings if isinstance(each, str)) == 1
    for now, (one, two) in enumerate(pairwise(["bob carla", "bob", "bob carla"]), 1):
        room.learned(len(two.split()), two)
        change = room.change(7, NAMED, KNOWN, float(now))
        assert change is not None
        assert (change.joined, change.left) == (
            sorted(set(two.split()) - set(one.split())),
            sorted(set(one.split()) - set(two.split())),
        )


@pytest.mark.parametrize("seed", range(20))
def test_a_room_counts_the_connections_of_few_as_of_many(seed: int) -> None:
    dice = random.Random(seed)
    room = Room()
    model: dict[str, int] = {}
    kinds = set()
    for _ in range(600):
        user = f"user{dice.randrange(12)}"
        if user not in model:
            room.come(user)
            model[user] = 1
        elif dice.random() < 0.4:
            room.go(user)
            del model[user]
        else:
            model[user] = dice.choice((0, 1, 1, 1, 2))
            room.count(user, model[user])
        assert {user: room.connections(user) for user in room.own} == model
        assert room.connections("nobody") is None
        kinds.add(type(room.own))
    assert kinds == {tuple, dict}


def test_a_room_of_few_who_have_one_connection_each_is_small_again_after_one_had_two() -> None:
    room = Room()
    room.come("alice")
    room.come("bob")
    assert room.own == ("alice", "bob")
    room.count("bob", 2)
    assert room.own == {"alice": 1, "bob": 2}
    room.count("bob", 1)
    assert room.own == ("alice", "bob")
