"""The price table that people edit, and the machines that are chosen from it."""

from pathlib import Path

import pytest
from capacity_costs import COSTS

from storm_gateway.capacity import calibration as calibrations
from storm_gateway.capacity import prices as price_tables
from storm_gateway.capacity.errors import CapacityError
from storm_gateway.capacity.plan import make_plan
from storm_gateway.capacity.target import make_target
from storm_gateway.capacity.text import budget_line, lines

TABLE = price_tables.read(None)


def test_the_example_can_be_edited_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(price_tables.default_text().replace("month = 10", "month = 12.5"))
    assert [each.month for each in price_tables.read(path).machine][:2] == [12.5, 20]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cores = 2", "cores = 0", "above 0"),
        ("month = 10", "month = -1", "cannot be -1"),
        ("balancer = 10", "balancer = inf", "cannot be inf"),
        ("balancer = 10", "", "balancer"),
        ("cores = 2", 'cores = "two"', "cores"),
        ("balancer = 10", "balancer = 10\ndiscount = 5", "discount"),
        ("currency =", "currency", "prices.toml"),
    ],
)
def test_a_fault_in_the_table_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(price_tables.default_text().replace(old, new, 1))
    with pytest.raises(CapacityError, match=said):
        price_tables.read(path)
    with pytest.raises(CapacityError, match="cannot be read"):
        price_tables.read(tmp_path / "nothing")


def test_a_small_target_without_spare_is_one_node_on_sqlite() -> None:
    plan = make_plan(make_target(connections=500, spare_machines=0), COSTS, TABLE)
    assert plan.embedded
    assert (plan.nodes, plan.storage.database) == (1, "SQLite")
    assert [each.machine.name for each in plan.bought] == ["small"]


def test_a_machine_with_nodes_may_be_away() -> None:
    plan = make_plan(make_target(connections=100_000, history_days=1), COSTS, TABLE)
    assert not plan.embedded
    assert plan.nodes > plan.nodes_needed
    assert plan.bought[0].count >= 2
    assert plan.month == pytest.approx(sum(plan.costs.values()))


def test_the_budget_is_compared_and_the_dearest_part_named() -> None:
    target = make_target(connections=100_000, history_days=1)
    plan = make_plan(target, COSTS, TABLE)
    under = budget_line(plan, TABLE, plan.month + 100)
    assert under.startswith("100 EUR under")
    assert budget_line(plan, TABLE, plan.month - 5).startswith("5 EUR OVER")
    assert max(plan.costs, key=lambda name: plan.costs[name]) in under
    text = "\n".join(lines(target, COSTS, plan, TABLE, 700))
    for said in ("100,000 connections", "PostgreSQL", "NATS", "open files", "docs/kernel.md"):
        assert said in text


def test_what_no_machine_can_is_told() -> None:
    with pytest.raises(CapacityError):
        make_plan(make_target(connections=50_000_000, messages_per_second=1e6), COSTS, TABLE)


def test_a_calibration_is_kept_and_read(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    calibrations.write(COSTS, path)
    assert calibrations.read(path) == COSTS


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"version": 1', '"version": 2', "another version"),
        ('"node_bytes": 100000000.0', '"node_bytes": -1.0', "node_bytes cannot be"),
        ('"write_seconds": 8e-6', '"write_seconds": 0.0', "was not measured"),
        ('"machine"', '"maschine"', "no calibration"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "costs.json"
    calibrations.write(COSTS, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(CapacityError, match=said):
        calibrations.read(path)
