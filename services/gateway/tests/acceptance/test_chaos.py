"""Faults under load, with real servers and nodes: nothing is lost, doubled, swapped or made up.

These are the short scenarios; `make chaos` runs all of them, and `storm audit --scenario NAME` one.
"""

from pathlib import Path

import pytest

from storm_gateway.audit.run import Options, State, run_scenario
from storm_gateway.audit.scenario import Scenario, scenarios

ALL = scenarios()
SHORT = [name for name, kind in ALL.items() if kind.short]
IN_TIME = 0.999
"""Of the deliveries that a fault kept up, the share that comes within 5 s of its end."""
FAULTS = {f"F{number}" for number in (*range(1, 12), *range(13, 21))}
"""Of the fault matrix; F12, the failover of PostgreSQL, needs a replica, which STORM does not run.
"""


@pytest.mark.timed
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SHORT)
async def test_nothing_is_lost_when(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The nodes are as fast as an operator's: no one counts their lines.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    result = await run_scenario(ALL[name](), tmp_path / "stack", Options(), State())
    if result.skipped:
        pytest.skip(result.skipped)
    print(name, result.verdict, result.figures, result.counts)  # noqa: T201 shown when it fails
    assert result.failed == []
    assert result.verdict.examples == []
    assert result.passed
    assert result.in_time is not None
    assert result.in_time >= IN_TIME


def test_every_fault_of_the_matrix_has_a_scenario() -> None:
    assert {kind.reference for kind in ALL.values() if kind.reference} == FAULTS


def test_every_scenario_is_told_in_the_docs() -> None:
    page = (Path(__file__).parents[4] / "docs" / "chaos.md").read_text(encoding="utf-8")
    untold = [name for name in ALL if f"`{name}`" not in page]
    assert not untold
    for name, kind in ALL.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
        assert f"| {kind.reference} |" in row
        assert ("yes" in row.split("|")[4]) == kind.short, row


def test_every_scenario_can_be_made_and_says_what_it_is() -> None:
    for kind in ALL.values():
        made = kind()
        assert isinstance(made, Scenario)
        assert kind.title
        assert kind.seconds > 0
        assert kind.__doc__, kind.name
