"""Profiles are checked, figures of several processes are added up, and a result is judged."""
# ruff: noqa: S101 tests assert

import json
import os
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from loading import profile as profiles
from loading import report
from loading.buckets import Histogram, merged, upper_edge
from loading.figures import Figures
from loading.fleet import addresses, divide, find_k6, go_settings, socket_limit
from loading.profile import Profile, ProfileError, Thresholds
from loading.refusals import Refusals
from loading.result import Result, merge, read
from loading.verdict import misses

# --- profiles ---


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_of_the_project_is_in_order(name: str) -> None:
    assert profiles.load(name).about


def test_the_ci_profile_ends_within_a_minute() -> None:
    ci = profiles.load("ci")
    assert ci.lasts + ci.settle_seconds <= 60
    assert (ci.connections, ci.nodes) == (500, 2)


def test_a_profile_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ProfileError, match=r"no profile 'huge'; there are 100k, ci, cluster"):
        profiles.load("huge")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("conections=5", "profile ci: unknown key conections; known are about"),
        ("thresholds.ack=5", "unknown key thresholds.ack; known are ack_p95_ms"),
        ("connections=many", 'connections should be a whole number, not "many"'),
        ("connections=1.5", "connections should be a whole number, not 1.5"),
        ("connections=true", "connections should be a whole number, not true"),
        ("members=yes", 'members should be true or false, not "yes"'),
        ("audit_messages_per_second=0.01", r"audit_messages_per_second must be 0, or 0\.1 or more"),
        ("ramp_falls=1", "ramp_falls must be below 1"),
        ("ramp_seconds=[1]", r"ramp_seconds should be a number, not \[1\]"),
        ("connections=0", "connections must be 1 or more"),
        ("hold_seconds=-1", "hold_seconds must not be negative"),
        ("behaviour=shouting", "no behaviour 'shouting'; there are steady_chat"),
        ('mix={"room":0.5}', "mix: the shares add up to 0.5, not to 1"),
        ('mix={"attic":1}', "mix: no attic; there are hall, room, small"),
        ('faults=[{"what":"flood","at":1}]', "no fault 'flood'; there are nats_paused"),
        ('faults=[{"what":"nats_paused"}]', r"faults\[0\].at is missing"),
        ("spikes=3", "spikes should be a list, not 3"),
        ('settings={"GATEWAY":"1"}', "settings: 'GATEWAY' is no setting of STORM"),
        ("connections", "'connections' should be key=value"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(change: str, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        profiles.load("ci", [change])


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("{")
    with pytest.raises(ProfileError, match=r"mine\.json: "):
        profiles.load(str(path))
    path.write_text("{}")
    with pytest.raises(ProfileError, match="connections is missing"):
        profiles.load(str(path))


def test_a_profile_survives_a_file() -> None:
    day = profiles.load("storm-day")
    assert profiles.from_json(json.loads(json.dumps(profiles.as_json(day)))) == day


# --- who does what ---


def test_every_user_is_in_one_process_and_none_has_more_than_it_may() -> None:
    parts = divide(500, 100_000, 10, slow=1_005)
    numbers = [number for part in parts for number in range(part.first, part.first + part.users)]
    assert numbers == list(range(500, 100_500))
    assert all(part.users <= socket_limit() for part in parts)
    assert sum(part.users for part in parts if part.slow) == 1_000


def test_few_users_are_not_spread_over_empty_processes() -> None:
    assert [part.users for part in divide(0, 15, 10, at_least=4)] == [10, 5]


def test_every_vu_of_every_k6_has_an_address_of_its_own() -> None:
    """Users of few addresses return to the same node when theirs has died."""
    given = []
    for process in range(6):
        first, last = map(IPv4Address, addresses(process).split("-"))
        given += range(int(first), int(last) + 1)
    assert len(set(given)) == len(given)
    assert all(IPv4Address(number).is_loopback for number in given)
    vus = socket_limit() // profiles.load("100k").sockets_per_vu
    assert len(given) >= 6 * vus


def test_many_k6_share_processors_and_memory_and_do_not_collect_garbage_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GOMAXPROCS", "GOGC", "GOMEMLIMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("loading.fleet._processors", lambda: 11)
    free = 20 * 2**30
    each = [go_settings(number, 6, free) for number in range(6)]
    assert {settings["GOMAXPROCS"] for settings in each} == {"2"}
    bounds = [int(settings["GOMEMLIMIT"].removesuffix("MiB")) * 2**20 for settings in each]
    assert len(set(bounds)) == 6
    assert 0.8 * free < sum(bounds) < 0.9 * free
    assert {settings["GOGC"] for settings in each} == {"off"}
    # With little memory there would be no end of collecting.
    assert go_settings(0, 6, 5 * 2**30) == {"GOMAXPROCS": "2"}
    monkeypatch.setenv("GOGC", "50")
    assert "GOGC" not in go_settings(0, 1, free)


# --- adding up ---


def test_percentiles_of_merged_buckets_are_those_of_all_values() -> None:
    parts = [Histogram({1: 90}), Histogram({100: 10})]
    assert merged(parts).percentile(0.9) == 1
    assert merged(parts).percentile(0.91) == 100
    # The mean of both parts' p95 would be 50.5.
    assert merged(parts).percentile(0.95) == 100


def test_a_percentile_is_never_flattered() -> None:
    for milliseconds in (0, 5, 255, 256, 257, 300, 1_000, 54_321):
        bucket = next(b for b in range(600) if upper_edge(b) >= milliseconds)
        assert milliseconds <= upper_edge(bucket) <= max(milliseconds * 1.045, milliseconds + 0.5)


def line(vu: int, second: float, more: dict[str, object] | None = None, **counts: int) -> dict:  # type: ignore[type-arg]
    times = {"ack": [5, 1], "delivery": [7, 2], "connect": [3, 1]}
    return {"v": vu, "t": second * 1000, "o": 2, "r": 2, "c": counts, "h": times, **(more or {})}


def end(channel: int, users: int, newest: int, known: int, missing: int = 0) -> dict[str, object]:
    tails = [[channel, users, newest, known]]
    return {"end": {"missing": missing, "behind": 0, "unacked": 0, "tails": tails}}


def share_of(number: int, of: int, figures: Figures) -> Result:
    profile = Profile(4, hold_seconds=1, messages_per_second=2, thresholds=Thresholds(dropped=0))
    slow = Figures(figures.began_ms)
    return Result(profile, figures, slow, {7: 12}, vus=1, share=f"{number}/{of}", processes=1)


def figures_of(vu: int, newest: int, **counts: int) -> Figures:
    figures = Figures(0)
    figures.hear(0, line(vu, 1.0, {"in": 900.0}, **counts), 1)
    figures.hear(0, line(vu, 3.0, end(7, 2, newest, 11), good=5), 1)
    return figures


def test_shares_of_several_machines_are_one_result(tmp_path: Path) -> None:
    paths = []
    for number in (2, 1):
        paths.append(tmp_path / f"{number}.json")
        share_of(number, 2, figures_of(1, 24, sent=1, acked=1)).save(paths[-1])
    whole = merge([read(path) for path in paths])
    assert whole.figures.total.count("sent") == 2
    assert whole.figures.total.time("delivery").total == 8
    assert whole.figures.slots[0].open == 4
    assert whole.figures.opened_ms == 900.0
    assert whole.lost == 0
    assert misses(whole) == []


def test_shares_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one, three = (share_of(n, 3, figures_of(1, 24)) for n in (1, 3))
    with pytest.raises(RuntimeError, match="of 3 shares there are 1, 3"):
        merge([one, three])
    later = share_of(2, 2, Figures(5_000))
    with pytest.raises(RuntimeError, match="did not begin at the same moment"):
        merge([share_of(1, 2, figures_of(1, 24)), later])
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(RuntimeError, match=r"x\.json is no result of a share"):
        read(tmp_path / "x.json")


def test_a_hole_and_a_missing_tail_are_lost() -> None:
    figures = Figures(0)
    figures.hear(0, line(1, 1.0, end(7, 3, 12 + 12 + 10, 11, missing=1)), 1)
    # One hole, and one of three users is two behind the head that the store has.
    result = share_of(1, 1, figures)
    assert result.lost == 3
    rows = report._count_rows(result)
    assert rows[-2:] == [("lost", "3"), ("of it at the end of channels (1 of them)", "7: 2")]


def test_the_longest_silence_of_each_process_is_known_and_when_it_ended() -> None:
    figures = Figures(0)
    for process, vu, second in ((0, 1, 1.0), (0, 2, 1.5), (1, 1, 2.0), (0, 1, 8.5), (1, 1, 3.0)):
        figures.hear(process, line(vu, second), 2)
    assert figures.silences == [(7.0, 8.5), (2.0, 2.0)]
    # A line that another VU overtook is no silence.
    figures.hear(0, line(2, 8.4), 2)
    assert figures.silences == [(7.0, 8.5), (2.0, 2.0)]


def test_refusals_of_a_node_are_added_up_over_its_successor() -> None:
    kinds = {"a:1": iter([(3, 1), (5, 1), (0, 2)]), "b:1": iter([(1, 0), None, (4, 0)])}

    def ask(addr: str) -> str:
        counts = next(kinds[addr])
        if counts is None:
            raise httpx2.ConnectError("it is gone")
        return (
            f'storm_handshakes_refused_total{{node="n",reason="full",status="503"}} {counts[0]}.0\n'
            f'storm_requests_refused_total{{status="408"}} {counts[1]}.0\n'
            'storm_handshakes_refused_created{status="503"} 1.7e9\n'
        )

    refusals = Refusals(["a:1", "b:1"], ask)
    for _ in range(3):
        refusals.look()
    assert refusals.rows() == [
        ("node 1: handshakes refused with 503 full", 5),
        ("node 1: requests refused with 408", 2),
        ("node 2: handshakes refused with 503 full", 4),
    ]


def test_each_missed_service_level_is_said() -> None:
    figures = figures_of(1, 23, sent=2, good=0, bad=1, dropped=1, doubled=1)
    figures.hear(0, {**line(1, 3.5), "h": {"ack": [300, 99], "delivery": [300, 99]}}, 1)
    found = " ".join(misses(share_of(1, 1, figures)))
    for name in ("ack p95", "delivery p95", "errors", "lost: 1", "doubled: 1", "dropped: 1"):
        assert name in found
    assert "connect p95" not in found


def test_a_load_that_was_not_made_does_not_pass() -> None:
    result = share_of(1, 1, figures_of(1, 24, sent=2, acked=2))
    result.profile = Profile(4, hold_seconds=100, messages_per_second=10)
    result.vus = 2
    found = " ".join(misses(result))
    assert "1 of 2 VUs did not come to their end" in found
    assert "only 2 messages were sent, should be about 1,000" in found


def test_times_of_a_fault_do_not_count_but_its_losses_do() -> None:
    figures = figures_of(1, 24, sent=2)
    figures.hear(0, {**line(1, 11.0), "h": {"ack": [400, 99]}}, 1)
    result = share_of(1, 1, figures)
    assert any("ack p95" in each for each in misses(result))
    result.windows = [{"what": "nats_paused", "begin": 9, "end": 11, "judged_from": 12}]
    assert misses(result) == []
    figures.missing = 1
    assert misses(result) == ["lost: 1, should be 0"]


def test_a_report_has_figures_plots_and_circumstances(tmp_path: Path) -> None:
    result = share_of(1, 1, figures_of(1, 24, sent=2, acked=2))
    result.audit = ["| plain | passed |"]
    result.refused = [("node 3: handshakes refused with 503", 12)]
    result.silences = [(1.25, 8.0), (9.5, 20.0)]
    report.write(tmp_path / "tiny.md", result, "loadtest/load.py tiny", "k6 v0", misses(result))
    text = (tmp_path / "tiny.md").read_text()
    for part in (
        "**Result: passed.**",
        "Commit",
        "Machine",
        "k6 v0",
        "tiny-delivery-p95.svg",
        "## The audit that rode along",
        "| plain | passed |",
        "| node 3: handshakes refused with 503 | 12 |",
        "1.2 (at 8), 9.5 (at 20) |",
    ):
        assert part in text
    for plot in tmp_path.glob("*.svg"):
        assert plot.name in text
    assert len(list(tmp_path.glob("*.svg"))) == 5


# --- the scripts ---


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the parts of the scripts say in k6 itself."""
    folder = tmp_path_factory.mktemp("k6")
    channels, plan = folder / "channels.json", folder / "plan.json"
    channels.write_text(json.dumps({"hall": 1, "rooms": [2], "smalls": [3]}))
    plan.write_text(json.dumps({"channels": str(channels), "thresholds": {}, "scene": "load"}))
    k6 = find_k6()
    assert k6 is not None
    script = Path(__file__).with_name("k6_parts.js")
    done = subprocess.run(  # noqa: S603 our own script
        [k6, "run", "--quiet", "--no-usage-report", "--no-summary", "--address", "",
         "--log-output", "stdout", "--log-format", "raw", script],
        env={**os.environ, "STORM_LOAD_PLAN": str(plan)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_a_ledger_tells_holes_late_events_and_doubled_ones(parts: dict[str, Any]) -> None:
    assert parts["ledgers"] == {
        "in order": {"missing": 0, "last": 8},
        "hole": {"holes": 2, "missing": 2, "last": 9},
        "hole, then resumed": {"holes": 2, "filled": 2, "missing": 0, "last": 9},
        "late": {"holes": 1, "out_of_order": 1, "missing": 0, "last": 7},
        "twice": {"doubled": 1, "missing": 0, "last": 6},
        "gap": {"holes": 1, "missing": 0, "last": 21},
    }


def test_scripts_and_driver_agree_on_the_buckets(parts: dict[str, Any]) -> None:
    *values, largest = parts["buckets"]
    for milliseconds, bucket in values:
        assert milliseconds <= upper_edge(bucket) <= max(milliseconds + 1, milliseconds * 1.05)
    # What is longer than half an hour is in the last one.
    assert upper_edge(largest[1]) > 1_800_000
