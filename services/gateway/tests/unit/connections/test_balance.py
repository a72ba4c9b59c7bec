"""When a node asks connections to move, and that many nodes which do so come to rest."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from storm_gateway.bus.report import NodeReport
from storm_gateway.connections.balance import Balance

SETTLE = 60.0
REPORT_SECONDS = 5


def told(life: str, connections: int, *, ready: bool = True) -> NodeReport:
    return NodeReport(life, life, connections=connections, ready=ready)


def balance_of(life: str = "a", *, seconds: float = 1_200) -> Balance:
    return Balance(life, seconds=seconds, margin=0.1, settle_seconds=SETTLE)


def settled(balance: Balance, *nodes: NodeReport) -> None:
    """It has seen these nodes, and no others, for the settling time."""
    for second in range(int(SETTLE) + 1):
        balance.look(float(second), nodes)


def moves_after(balance: Balance, now: float, nodes: list[NodeReport]) -> bool:
    balance.look(now, nodes)
    return balance.moving


# --- one node's view ---


def test_a_node_above_the_mean_asks_some_a_second_of_those_it_has_too_many() -> None:
    balance = balance_of(seconds=1_200)
    settled(balance, told("a", 12_000), told("b", 12_000), told("c", 0))
    assert balance.moving
    assert (balance.mean, balance.skew) == (8_000, 0.5)
    assert [balance.take(12_000, 0) for _ in range(5)] == [10] * 5, "a 1,200th of all each second"
    assert balance.take(8_004, 0) == 4, "no more than it has too many"
    assert balance.take(8_004, 4) == 0, "those asked already are as good as gone"


def test_a_small_node_asks_one_now_and_then() -> None:
    balance = balance_of(seconds=1_200)
    settled(balance, told("a", 300), told("b", 0))
    assert sum(balance.take(300, 0) for _ in range(40)) == 10


def test_a_node_below_the_mean_asks_nobody() -> None:
    balance = balance_of("c")
    settled(balance, told("a", 12_000), told("b", 12_000), told("c", 3_000))
    assert balance.moving
    assert balance.skew < 0
    assert balance.take(3_000, 0) == 0


def test_one_node_that_joins_many_is_noticed_although_each_of_them_is_near_the_mean() -> None:
    balance = balance_of("0")
    settled(balance, *(told(str(n), 10_000) for n in range(30)), told("new", 0))
    assert balance.skew < 0.05
    assert balance.take(10_000, 0) == 8


@pytest.mark.parametrize("counts", [(11, 5, 5), (110, 95, 95), (10_900, 9_600, 9_500)])
def test_what_chance_does_and_what_the_margin_allows_moves_nobody(counts: tuple[int, ...]) -> None:
    balance = balance_of()
    settled(balance, *(told(life, count) for life, count in zip("abc", counts, strict=True)))
    assert not balance.moving


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([told("a", 900)], "it is alone"),
        ([told("b", 900), told("c", 0)], "it has told nothing yet"),
        ([told("a", 900), told("b", 0, ready=False)], "a node is not ready"),
        ([told("a", 900, ready=False), told("b", 0)], "it is not ready itself"),
        ([told("a", 0), told("b", 0)], "nobody is there"),
    ],
)
def test_nobody_is_asked_when(nodes: list[NodeReport], why: str) -> None:
    balance = balance_of()
    settled(balance, *nodes)
    assert not balance.moving, why
    assert balance.take(900, 0) == 0


def test_switched_off_it_still_says_how_uneven_the_nodes_are() -> None:
    balance = balance_of(seconds=0)
    settled(balance, told("a", 900), told("b", 0))
    assert (balance.moving, balance.skew) == (False, 1.0)
    assert balance.take(900, 0) == 0


def test_a_node_that_comes_goes_or_is_not_ready_ends_the_turn_and_the_wait_begins_anew() -> None:
    uneven = [told("a", 900), told("b", 900), told("c", 0)]
    for change in (
        [*uneven, told("d", 0)],
        uneven[:2],
        [told("a", 900), told("b", 900), told("another c", 0)],
        [told("a", 900), told("b", 900, ready=False), told("c", 0)],
    ):
        balance = balance_of()
        settled(balance, *uneven)
        assert moves_after(balance, 99.0, uneven)
        assert not moves_after(balance, 100.0, change)
        assert not moves_after(balance, 101.0, uneven)
        # These nodes are together since 101 only.
        assert not moves_after(balance, 100.0 + SETTLE, uneven)
        assert moves_after(balance, 101.0 + SETTLE, uneven)
        assert balance.turn == 2


def test_a_turn_ends_when_all_are_within_half_the_margin() -> None:
    balance = balance_of()
    settled(balance, told("a", 12_000), told("b", 12_000), told("c", 0))
    # The mean is 8,000, half the margin 400.
    assert moves_after(balance, 100.0, [told("a", 8_250), told("b", 8_250), told("c", 7_500)])
    assert not moves_after(balance, 101.0, [told("a", 8_200), told("b", 8_200), told("c", 7_600)])
    assert balance.take(8_200, 0) == 0


def test_when_everybody_was_asked_it_rests_until_the_nodes_change() -> None:
    uneven = [told("a", 900), told("b", 0)]
    balance = balance_of()
    settled(balance, *uneven)
    balance.nobody_left()
    for second in range(100, 10_000):
        balance.look(float(second), uneven)
        assert balance.take(900, 0) == 0
    joined = [*uneven, told("c", 0)]
    for second in range(10_000, 10_062):
        balance.look(float(second), joined)
    assert balance.moving


# --- many nodes, each deciding for itself by what it heard some seconds ago ---


@dataclass
class Simulated:
    """A node: who was there when its turn began, who came since, who was asked."""

    life: str
    balance: Balance
    old: int
    new: int = 0
    asked: int = 0
    turn: int = 0
    reported: int = 0
    moved: int = 0
    ready: bool = True

    @property
    def total(self) -> int:
        return self.old + self.new


Landing = Callable[["Cluster", Simulated], Simulated]


def anywhere(cluster: "Cluster", _from: Simulated) -> Simulated:
    return cluster.chance.choice(cluster.nodes)


def least_connections(cluster: "Cluster", _from: Simulated) -> Simulated:
    return min(cluster.nodes, key=lambda node: node.total)


def the_same(_: "Cluster", left: Simulated) -> Simulated:
    return left


@dataclass
class Cluster:
    landing: Landing
    counts: list[int]
    seconds: float = 1_200
    churn: float = 0.0
    seed: int = 1
    now: int = 0
    nodes: list[Simulated] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        for count in self.counts:
            self.join(count)

    def join(self, count: int = 0) -> None:
        life = f"n{len(self.nodes)}"
        made = Simulated(life, balance_of(life, seconds=self.seconds), count, reported=count)
        self.nodes.append(made)

    def second(self) -> None:
        self.now += 1
        for number, node in enumerate(self.nodes):
            if self.now % REPORT_SECONDS == number % REPORT_SECONDS:
                node.reported = node.total
        reports = [told(node.life, node.reported, ready=node.ready) for node in self.nodes]
        leaving: list[Simulated] = []
        for node in self.nodes:
            leaving += [node] * node.asked
            node.old -= node.asked
            node.asked = 0
            node.balance.look(float(self.now), reports)
            if node.balance.turn != node.turn:
                node.turn = node.balance.turn
                node.old, node.new = node.total, 0
            count = node.balance.take(node.total, 0)
            if count and not node.old:
                node.balance.nobody_left()
            node.asked = min(count, node.old)
            node.moved += node.asked
        leaving += [node for node in self.nodes for _ in range(self._churned(node))]
        for node in leaving:
            self.landing(self, node).new += 1

    def _churned(self, node: Simulated) -> int:
        count = min(int(node.total * self.churn + self.chance.random()), node.total - node.asked)
        of_old = min(count, node.old - node.asked)
        node.old -= of_old
        node.new -= count - of_old
        return count

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second()

    @property
    def moved(self) -> int:
        return sum(node.moved for node in self.nodes)

    @property
    def total(self) -> int:
        return sum(node.total for node in self.nodes)

    @property
    def farthest(self) -> float:
        mean = self.total / len(self.nodes)
        return max(abs(node.total - mean) for node in self.nodes) / mean


@pytest.mark.parametrize("landing", [anywhere, least_connections])
@pytest.mark.parametrize("nodes", [2, 10])
@pytest.mark.parametrize("churn", [0.0, 0.0005])
def test_a_node_that_joins_gets_its_share_and_then_nobody_is_moved_any_more(
    landing: Landing, nodes: int, churn: float
) -> None:
    cluster = Cluster(landing, [2_000] * nodes, seconds=300, churn=churn)
    cluster.run(200)
    assert cluster.moved == 0, "even nodes move nobody"
    cluster.join()
    everybody = cluster.total
    cluster.run(int(SETTLE))
    assert cluster.moved == 0, "not before the settling time"
    cluster.run(1_500)
    assert cluster.farthest <= 0.1
    assert cluster.moved <= everybody, "each is asked once at most"
    share = everybody / len(cluster.nodes)
    if landing is least_connections:
        assert cluster.moved <= share * 1.05, "each of them lands where one lacks"
    before = cluster.moved
    cluster.run(900)
    assert cluster.moved == before, "it has come to rest"


def test_the_rate_has_a_bound() -> None:
    cluster = Cluster(anywhere, [6_000, 6_000, 0])
    cluster.run(int(SETTLE) + 1)
    for _ in range(60):
        before = cluster.moved
        cluster.run(60)
        assert cluster.moved - before <= 0.05 * cluster.total + 60, "a 20th in a minute"


def test_a_rolling_update_is_left_alone_and_evened_out_afterwards() -> None:
    cluster = Cluster(anywhere, [3_000] * 4)
    cluster.run(120)
    for node in list(cluster.nodes):
        # It drains, and is back as another one, empty.
        node.ready = False
        cluster.run(20)
        left = node.total
        cluster.nodes.remove(node)
        for _ in range(left):
            cluster.chance.choice(cluster.nodes).new += 1
        cluster.run(10)
        cluster.nodes.append(Simulated(f"{node.life}'", balance_of(f"{node.life}'"), 0))
        cluster.run(10)
        assert cluster.moved == 0, "nobody is moved to a node that is about to go"
    assert cluster.farthest > 0.9, "who came last has nobody"
    cluster.run(5_400)
    assert cluster.farthest <= 0.1


def test_where_clients_always_come_back_to_the_same_node_each_is_asked_once() -> None:
    cluster = Cluster(the_same, [2_000, 2_000, 0], seconds=300)
    cluster.run(5_000)
    assert cluster.moved == 4_000
    assert [node.total for node in cluster.nodes] == [2_000, 2_000, 0]


def test_reports_that_are_old_beside_a_great_haste_do_not_make_it_swing() -> None:
    # All within 20 s, while what is known of the others is up to 5 s old.
    cluster = Cluster(anywhere, [3_000, 3_000, 0], seconds=20)
    cluster.run(int(SETTLE) + 600)
    assert cluster.farthest <= 0.1
    assert cluster.moved <= 2 * 6_000
    before = cluster.moved
    cluster.run(900)
    assert cluster.moved == before
