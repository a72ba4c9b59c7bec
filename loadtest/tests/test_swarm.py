"""The swarm against a real gateway: everybody comes, hears everything once, and comes back."""
# ruff: noqa: S101 tests assert

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from common.node import Node
from common.rest import Rest
from loading.scene import heads
from swarming import plan
from swarming.fleet import Fleet
from swarming.histogram import Histogram
from swarming.state import State

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)
USERS, ROOM_SIZE, MESSAGES = 200, 50, 60
SETTINGS = {"STORM_COMMANDS_PER_SECOND": "1000", "STORM_COMMANDS_BURST": "1000"}
Channels = list[tuple[int, int]]
"""Of each user: room and hall."""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(SETTINGS) as running:
        yield running


@pytest.fixture
def rest(node: Node) -> Iterator[Rest]:
    with Rest(node.url, node.token("owner")) as rest:
        yield rest


def scene(node: Node, rest: Rest, path: Path, users: int, *, members: bool = False) -> Channels:
    """Channels of a test's own, and the plan of its users in ``path``."""
    name = path.parent.name
    hall = rest.make_channel(f"{name}-hall")
    rooms = [rest.make_channel(f"{name}-{n}") for n in range(users // ROOM_SIZE)]
    channels = [(rooms[user % len(rooms)], hall) for user in range(users)]
    sign = plan.signer(node.secret)
    plan.write(
        path, users, lambda user: sign(f"load-{user}"), channels.__getitem__, members=members
    )
    return channels


def wait(fleet: Fleet, done: Callable[[State], bool], seconds: float = 20) -> State:
    """The first state that is so."""
    until = time.monotonic() + seconds
    while not done(state := fleet.state()):
        assert time.monotonic() < until, state.as_json()
        time.sleep(0.02)
    return state


def check(fleet: Fleet, rest: Rest, path: Path) -> State:
    path.write_text("".join(f"{channel} {head}\n" for channel, head in heads(rest).items()))
    fleet.ask(f"check {path}")
    return fleet.state()


def test_everybody_is_in_all_channels_and_hears_each_message_once(
    node: Node, rest: Rest, tmp_path: Path
) -> None:
    channels = scene(node, rest, tmp_path / "plan", USERS)
    target = [f"{node.host}:{node.port}"]
    with Fleet(tmp_path / "plan", USERS, 2, target) as fleet:
        fleet.open(1_000, 0)
        opened = wait(fleet, lambda state: state["open"] == USERS)
        assert opened.histograms["connect"].total == USERS
        assert opened["closes"] == opened["errors"] == 0

        fleet.send(200, MESSAGES / 200, (0.8, 0.2), size=64)
        # What each channel has, each of its users has heard.
        wait(fleet, lambda state: state["acked"] == MESSAGES)
        size = Counter(channel for user in channels for channel in user)
        said = {channel: len(rest.history(channel)) for channel in size}
        due = sum(said[channel] * count for channel, count in size.items())
        state = wait(fleet, lambda state: state.histograms["delivery"].total >= due)

        assert sum(said.values()) == state["sent"] == MESSAGES
        # Both kinds were chosen.
        assert 0 < said[channels[0][1]] < MESSAGES
        state = check(fleet, rest, tmp_path / "heads")
        assert state.histograms["delivery"].total == due
        assert state.histograms["ack"].total == MESSAGES
        wrong = ("lost", "doubled", "late_fills", "strangers", "unread", "refused", "unsendable")
        assert {name: state[name] for name in wrong} == dict.fromkeys(wrong, 0)
        assert 0 < state.cpu_seconds < 60
        processes = [process.running for process in fleet.processes]
    assert [process.returncode for process in processes] == [0, 0]


@pytest.mark.parametrize("members", [False, True])
def test_who_is_said_to_be_a_member_joins_nothing(
    node: Node, rest: Rest, tmp_path: Path, members: bool
) -> None:
    scene(node, rest, tmp_path / "plan", ROOM_SIZE, members=members)
    with Fleet(tmp_path / "plan", ROOM_SIZE, 1, [f"{node.host}:{node.port}"]) as fleet:
        fleet.open(0, 20)
        wait(fleet, lambda state: state["open"] == ROOM_SIZE)
        fleet.send(50, 0.1, (1, 1), size=64)
        wait(fleet, lambda state: state["acked"] == 5)
    # With the owner.
    room = rest.channel(f"{tmp_path.name}-0")
    assert room["member_count"] == (1 if members else 1 + ROOM_SIZE)


def test_one_message_to_the_hall_has_a_first_and_a_last_delivery(
    node: Node, rest: Rest, tmp_path: Path
) -> None:
    scene(node, rest, tmp_path / "plan", ROOM_SIZE)
    with Fleet(tmp_path / "plan", ROOM_SIZE, 2, [f"{node.host}:{node.port}"]) as fleet:
        fleet.open(0, 20)
        wait(fleet, lambda state: state["open"] == ROOM_SIZE)
        fleet.ask("track on")
        fleet.send(20, 0.1, (0, 1), senders=1)
        wait(fleet, lambda state: state.histograms["delivery"].total == 2 * ROOM_SIZE)
        found = fleet.tracked()
    assert [count for _, _, count in found.values()] == [ROOM_SIZE] * 2
    assert all(0 < first <= last < 20_000 for first, last, _ in found.values())


def test_after_the_server_died_everybody_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    users = 2 * ROOM_SIZE
    with Node(SETTINGS) as node:
        with Rest(node.url, node.token("owner")) as rest:
            channels = scene(node, rest, tmp_path / "plan", users)
        with Fleet(tmp_path / "plan", users, 2, [f"{node.host}:{node.port}"]) as fleet:
            fleet.open(0, 50)
            wait(fleet, lambda state: state["open"] == users)
            fleet.send(100, 0.2, (1, 1))
            wait(fleet, lambda state: state["acked"] == 20)

            node.kill()
            wait(fleet, lambda state: state["closes"] == users)
            node.start()
            with Rest(node.url, node.token("owner")) as rest:
                # Said while most are away: they get it by replay.
                rest.post(f"/channels/{channels[0][1]}/messages", {"payload": "you were away"})
                # The longer it was away, the longer they wait: up to 30 s.
                wait(fleet, lambda state: state["open"] == users, 60)
                fleet.send(100, 0.2, (1, 1))
                wait(fleet, lambda state: state["acked"] == 40)
                history = [m["payload"] for m in rest.history(channels[0][1])]
                assert "you were away" in history
                state = check(fleet, rest, tmp_path / "heads")
                # A delivery that is on its way still comes, and is then not lost.
                state = wait(fleet, lambda state: state["lost"] == 0)
            assert state["back"] == state.histograms["back_after"].total == users
            assert state["opened"] == users
            assert state["doubled"] == state["gaps"] == state["resets"] == 0


def test_a_process_whose_driver_is_gone_ends(node: Node, rest: Rest, tmp_path: Path) -> None:
    scene(node, rest, tmp_path / "plan", ROOM_SIZE)
    fleet = Fleet(tmp_path / "plan", ROOM_SIZE, 1, [f"{node.host}:{node.port}"])
    fleet.open(0, 50)
    running = fleet.processes[0].running
    assert running.stdin is not None
    running.stdin.close()
    assert running.wait(10) == 0
    assert running.stdout is not None
    running.stdout.close()


def test_histograms_of_two_processes_are_one() -> None:
    values = [(value * value, 1) for value in range(1, 1_001)]
    one, other = Histogram(values[:800]), Histogram(values[200:])
    before = Histogram(one.counts.items())
    one.add(other)
    whole = Histogram([*values, *values[200:800]])
    assert one.counts == whole.counts
    assert (one.total, before.total) == (1_600, 800)
    assert [one.ms(share) for share in (0.5, 0.95, 1)] == [250.0, 846.4, 1000.0]
    assert one.since(before).counts == other.counts
