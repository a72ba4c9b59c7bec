"""The peers' page: a ratio above 1 is in STORM's favour, and a row says where it is behind."""
# ruff: noqa: S101 tests assert

from typing import Any

import peers_run
import pytest
from harness import peers_report, prepare
from harness.latency import single_load
from harness.pace import shared_rate
from harness.paths import PEERS_PAGE
from harness.report import insert
from harness.servers import SERVERS

UPGRADES, *_others, LAST = peers_report.ROWS
MEMORY = next(row for row in peers_report.ROWS if row.path == ("idle_bytes",))
P99 = next(row for row in peers_report.ROWS if row.path == ("paced", "ms_p99"))


def _load(rate: float) -> dict[str, Any]:
    busy = {"other_cpu_seconds": 0.05, "elapsed_seconds": 1.0}
    return {"per_second": rate, "per_cpu_second": rate, **busy}


def _room(rate: float, size: float) -> dict[str, Any]:
    loads = ("upgrade", "reconnect", "deliver_1", "deliver_4", "deliver_16")
    return {name: _load(rate) for name in loads} | {"idle_bytes": size}


def _latency(ms: float) -> dict[str, Any]:
    busy = {"other_cpu_seconds": 0.4, "elapsed_seconds": 1.0}
    paced = {"ms_p50": ms / 2, "ms_p99": ms}
    return {"paced": paced | busy, "single": {"last_ms_p50": ms} | busy}


def _run(speed: float) -> dict[str, Any]:
    """A machine that is ``speed`` times as fast in this run."""
    rates = {"c": 500, "storm": 100, "gorilla": 125, "ws": 50, "python-socketio": 10}
    sizes = {"c": 50, "storm": 2_000, "gorilla": 20_000, "ws": 6_000, "python-socketio": 40_000}
    return {
        "room": {key: _room(rate * speed, sizes[key]) for key, rate in rates.items()},
        "latency": {key: _latency(1_000 / rate / speed) for key, rate in rates.items()},
    }


RUNS = [_run(1), _run(7), _run(0.3)]


def _result(**changes: Any) -> dict[str, Any]:
    return {
        "date": "today",
        "commit": "abc",
        "settings": {"connections": 1_000, "seconds": 8.0, "paced_deliveries": 5_000.0},
        "machine": {"kernel": "Linux"},
        "versions": {"Python": "3.11"},
        "runs": RUNS,
        "failures": [],
        "skipped": {},
        "note": None,
        **changes,
    }


@pytest.mark.parametrize("row", [UPGRADES, P99, LAST])
def test_a_ratio_above_one_is_in_favour_of_storm_for_rates_and_for_times(
    row: peers_report.Row,
) -> None:
    assert peers_report.lead(RUNS, row, "ws") == pytest.approx(2)
    assert peers_report.lead(RUNS, row, "gorilla") == pytest.approx(0.8)
    assert peers_report.lead(RUNS, row, "fastapi") is None


def test_fewer_bytes_are_better() -> None:
    assert peers_report.lead(RUNS, MEMORY, "ws") == pytest.approx(3)
    assert peers_report.verdict(RUNS, MEMORY) == "ahead, 3x Node, `ws`"


def test_a_row_says_whom_storm_is_behind_and_by_how_much() -> None:
    assert peers_report.verdict(RUNS, UPGRADES) == "**behind**: 0.8x Go, gorilla/websocket"
    text = peers_report.render(_result())
    line = next(line for line in text.splitlines() if line.startswith("| upgrades/s, new users |"))
    assert line.split(" | ")[1:-1] == ["500", "100", "125", "50", "10"]
    assert line.endswith("| **behind**: 0.8x Go, gorilla/websocket |")
    # The limit is no peer: being behind it is not marked.
    assert "| upgrades/s, new users | 0.2x | **0.8x** | 2x | 10x |" in text


def test_the_shared_rate_is_half_of_what_the_weakest_peer_can_do_best() -> None:
    run = _run(1)
    assert shared_rate(run) == 5
    run["room"]["python-socketio"]["deliver_16"]["per_second"] = 60
    assert shared_rate(run) == 25
    assert shared_rate({"room": {"c": _room(30, 1), "storm": _room(20, 1)}}) == 10
    assert shared_rate({"room": {}}) is None


def test_a_single_message_has_the_room_for_itself_however_slow_the_server_is() -> None:
    assert single_load(90, 8) == (0.5, 16)
    rate, seconds = single_load(2_600, 4)
    assert 1 / rate == pytest.approx(5.2)
    assert rate * seconds == pytest.approx(3)


def test_the_page_tells_the_rate_the_noise_and_what_is_missing() -> None:
    text = peers_report.render(
        _result(skipped={"fastapi": "it is ill"}, failures=["run 1, ws: it hung"], note="A trial.")
    )
    assert "5,000 deliveries/s (5 messages/s)" in text
    assert "of a processor on average, 40 % at most.\nThat is no quiet machine" in text
    assert "Not measured: FastAPI on uvicorn. it is ill." in text
    assert "- run 1, ws: it hung" in text
    assert "**A trial.**" in text
    # 7 - 0.3, of 1
    assert "| upgrades/s, new users | 670 % |" in text


def test_the_page_has_a_place_for_the_figures() -> None:
    page = insert(PEERS_PAGE.read_text(), "NEW FIGURES", peers_report.BEGIN)
    assert page.count("NEW FIGURES") == 1
    assert "## Where STORM is behind, and why" in page.partition("NEW FIGURES")[2]


def test_a_peer_that_cannot_be_had_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare.shutil, "which", lambda _name: None)
    assert peers_run.install(["c", "gorilla"]) == (["c"], {"gorilla": "Go is not installed"})
    assert "SKIPPED gorilla: Go is not installed" in capsys.readouterr().out


def test_every_server_can_be_chosen_and_no_other() -> None:
    assert peers_run.parse([]).servers == list(SERVERS)
    assert peers_run.parse(["--only", "ws,storm"]).servers == ["storm", "ws"]
    with pytest.raises(SystemExit):
        peers_run.parse(["--only", "apache"])
