"""The report says what came out, for people and for programs."""

import json
from pathlib import Path

import pytest

from storm_gateway.audit import report
from storm_gateway.audit.ledger import Stored, StoredMessage
from storm_gateway.audit.plot import HOW_TO_PLOT
from storm_gateway.audit.reading import disagreements
from storm_gateway.audit.report import summary, verdict_line, write_report
from storm_gateway.audit.result import Result, Series
from storm_gateway.audit.scenario import Plain, Scenario, scenario, scenarios
from storm_gateway.audit.timeline import Fault
from storm_gateway.audit.times import Repair, Silence, Spread
from storm_gateway.audit.verdict import Verdict

GREEN = Verdict(attempts=1_210, acknowledged=1_200, refused=10, stored=1_200, delivered=9_999)


def green() -> Result:
    return Result(
        "nats-killed",
        "NATS is killed | twice",
        "F5",
        verdict=GREEN,
        repairs=[
            Repair(Fault("NATS killed", 1.0, 2.5), Spread(9, 0.1, 0.2, 0.2, 0.31), 0.99996),
            Repair(Fault("node gone", 4.0, None, "node-1"), back=Spread(3, 1.0, 1.5, 1.5, 1.6)),
        ],
        silence=Silence(2.25, 1.0),
        series=Series(0.25, [4.0, 0.0, 8.0], [40.0, 0.0, 80.0], [4.0, 4.0, 4.0]),
        notes=[(2.0, "something worth a line")],
        counts={"close codes": {"1006": 3}, "errors answered": {}},
    )


def red() -> Result:
    verdict = Verdict(acknowledged=10)
    verdict.add("lost", "message 3 was acknowledged, and is not stored")
    return Result("postgres-frozen", "PostgreSQL is frozen", verdict=verdict)


def test_a_row_tells_all_that_matters_of_a_run() -> None:
    (row,) = summary([green()])[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:7] == ["nats-killed (F5)", "passed", "1,200", "0", "0", "0", "0"]
    assert cells[7:] == ["2.2 s", "310 ms", "99.99 %", "1.5 s"]


def test_one_loss_fails_the_whole() -> None:
    assert verdict_line([green()]).startswith("**Passed**: 1 run, 1,200 messages")
    assert verdict_line([green(), red()]) == "**FAILED**: 1 of 2 runs (postgres-frozen)."
    assert "| **FAILED** |" in summary([red()])[-1]


def test_a_run_that_proved_nothing_fails_although_nothing_was_lost() -> None:
    result = green()
    result.failed.append("the fault did not happen")
    assert not result.passed
    assert "FAILED" in verdict_line([result])


def test_a_run_that_could_not_be_is_neither_passed_nor_failed() -> None:
    skipped = Result("partition", "A node is cut off", "F18", skipped="needs root")
    assert verdict_line([skipped]) == "Nothing was run. 1 could not be run here."
    assert "skipped: needs root" in summary([skipped])[-1]


def test_report_holds_figures_faults_notes_and_plot(tmp_path: Path) -> None:
    text = write_report([green(), red()], {"Python": "3.x"}, tmp_path / "report").read_text()
    assert "| Python | 3.x |" in text
    assert "| NATS killed | 1.0 | 2.5 | 100 ms | 200 ms | 310 ms | 99.99 % |  |  |" in text
    assert "| node gone (node-1) | 4.0 |  |" in text
    assert "- 2.0 s: something worth a line" in text
    assert "- lost: message 3 was acknowledged, and is not stored" in text
    assert "| close codes | 1006: 3 |" in text
    assert "| errors answered | none |" in text
    assert (tmp_path / "report/nats-killed.png").stat().st_size > 10_000
    assert not (tmp_path / "report/postgres-frozen.png").exists(), "it has no series"


def test_every_row_of_the_report_has_as_many_cells_as_its_head(tmp_path: Path) -> None:
    text = write_report([green(), red()], {}, tmp_path).read_text()
    for table in text.split("\n\n"):
        rows = [row.replace("\\|", "") for row in table.splitlines() if row.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, table


def test_programs_read_the_same_figures(tmp_path: Path) -> None:
    write_report([green(), red()], {}, tmp_path)
    first, second = json.loads((tmp_path / "results.json").read_bytes())["results"]
    assert (first["passed"], second["passed"]) == (True, False)
    assert first["repairs"][0]["fault"]["title"] == "NATS killed"
    assert second["verdict"]["lost"] == 1


def test_without_the_library_the_report_says_how_to_get_a_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "can_plot", lambda: False)
    text = write_report([green()], {}, tmp_path).read_text()
    assert HOW_TO_PLOT in text
    assert "![" not in text
    assert not list(tmp_path.glob("*.png"))


def test_readings_that_differ_are_told_message_by_message() -> None:
    rows = [StoredMessage(1, 10, 0), StoredMessage(2, 11, 1), StoredMessage(3, 12, -1, 77)]
    same = Stored({1: rows}, {1: {4}})
    assert disagreements(Stored({1: list(rows)}), same) == []
    assert len(disagreements(Stored({1: rows[:2]}), same)) == 1
    assert len(disagreements(same, Stored({1: rows[1:]}))) == 1
    other = [*rows[:2], StoredMessage(3, 12, -1, 78)]
    assert disagreements(same, Stored({1: other})) == ["channel 1, seq 3, id 12: told differently"]


def test_scenarios_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        scenario(type("Nameless", (Plain,), {"name": ""}))
    known = next(iter(scenarios().values()), None)
    if known is not None:
        with pytest.raises(ValueError, match="two scenarios"):
            scenario(type("Second", (Scenario,), {"name": known.name, "title": "again"}))
