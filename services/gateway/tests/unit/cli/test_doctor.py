import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.cli.doctor import as_json, report
from storm_gateway.cli.machine import Facts, facts, read_memory, read_numbers
from storm_gateway.cli.verdicts import CONNECTION_BYTES, PROCESS_BYTES, capacity, verdicts

GIB = 1024**3
GOOD = Facts(
    python="CPython 3.11.7",
    event_loop="uvloop 0.23.0",
    allocator="jemalloc",
    cpus=2,
    files_soft=1_024,
    files_hard=1_048_576,
    files_system=9_000_000,
    files_open=1_000,
    somaxconn=4_096,
    netdev_max_backlog=16_384,
    syn_backlog=4_096,
    ports=(1_024, 65_535),
    tcp_memory_pages=(287_898, 383_867, 575_796),
    page_size=4_096,
    conntrack_max=None,
    memory_total=24 * GIB,
    memory_available=20 * GIB,
    memory_limit=None,
    memory_used=None,
    sqlite_module="pysqlite3",
    sqlite_version="3.53.4",
    sqlite_safe=True,
    configured=0,
)


def with_(**changes: object) -> Facts:
    return msgspec.structs.replace(GOOD, **changes)


def grade_of(name: str, found: Facts) -> str:
    (verdict,) = [verdict for verdict in verdicts(found) if verdict.name == name]
    assert verdict.grade == "good" or verdict.advice
    return verdict.grade


def test_a_good_machine_has_nothing_to_mend() -> None:
    assert {verdict.grade for verdict in verdicts(GOOD)} == {"good"}
    assert capacity(GOOD).limited_by == "kernel memory for TCP"


@pytest.mark.parametrize(
    ("changes", "limit", "connections"),
    [
        ({"files_soft": 256, "files_hard": 20_000}, "file limit", 18_000),
        ({"memory_available": PROCESS_BYTES + 50 * CONNECTION_BYTES}, "memory", 50),
        ({"memory_limit": GIB, "memory_used": GIB + 1}, "memory", 0),
        ({"memory_limit": PROCESS_BYTES + CONNECTION_BYTES, "memory_used": None}, "memory", 1),
        ({"files_system": 5_000, "files_open": 1_000}, "open files of the whole system", 4_000),
        ({"conntrack_max": 65_536}, "connection tracking", 65_536),
        ({"configured": 77}, "STORM_MAX_CONNECTIONS", 77),
    ],
)
def test_the_least_bound_is_what_limits(
    changes: dict[str, object], limit: str, connections: int
) -> None:
    holds = capacity(with_(**changes))
    assert (holds.limited_by, holds.connections) == (limit, connections)
    assert holds.remedy


def test_an_unlimited_number_of_files_is_no_limit() -> None:
    assert capacity(with_(files_soft=-1, files_hard=-1)).limited_by != "file limit"
    assert grade_of("open files", with_(files_soft=-1, files_hard=-1)) == "good"


@pytest.mark.parametrize(
    ("name", "changes", "grade"),
    [
        ("event loop", {"event_loop": "asyncio"}, "note"),
        ("memory allocator", {"allocator": "Python's own"}, "note"),
        ("CPUs", {"cpus": 1}, "note"),
        ("SQLite", {"sqlite_safe": False}, "bad"),
        ("open files", {"files_soft": 1_024, "files_hard": 4_096}, "bad"),
        ("open files", {"files_soft": 20_000, "files_hard": 20_000}, "good"),
        ("net.core.somaxconn", {"somaxconn": 128}, "note"),
        ("net.core.netdev_max_backlog", {"netdev_max_backlog": 1_000}, "note"),
        ("net.ipv4.ip_local_port_range", {"ports": (32_768, 60_999)}, "note"),
        ("net.ipv4.tcp_mem", {"tcp_memory_pages": (1, 2, 3)}, "note"),
        ("memory", {"memory_available": 1_000_000}, "bad"),
        ("memory", {"memory_limit": 8 * GIB, "memory_used": GIB}, "good"),
        ("nf_conntrack_max", {"conntrack_max": 65_536}, "note"),
        ("nf_conntrack_max", {"conntrack_max": 1_048_576}, "good"),
    ],
)
def test_each_fact_has_its_verdict(name: str, changes: dict[str, object], grade: str) -> None:
    assert grade_of(name, with_(**changes)) == grade


@pytest.mark.parametrize(
    ("environment", "allocator"), [({"PYTHONMALLOC": "malloc"}, "jemalloc"), ({}, "Python's own")]
)
def test_the_allocator_is_that_of_nodes_that_storm_starts(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], allocator: str
) -> None:
    monkeypatch.setattr("storm_gateway.cli.machine.environment", lambda *_: environment)
    assert facts(0).allocator == allocator


def test_a_machine_that_says_nothing_gets_verdicts_all_the_same() -> None:
    unknown = with_(
        files_system=None,
        files_open=None,
        somaxconn=None,
        netdev_max_backlog=None,
        syn_backlog=None,
        ports=None,
        tcp_memory_pages=None,
        memory_total=None,
        memory_available=None,
    )
    assert capacity(unknown).limited_by == "file limit"
    text = "\n".join(report(verdicts(unknown), capacity(unknown), colour=False))
    assert "unknown" in text
    assert "After that" not in text


@given(st.integers(-1, 2**40), st.none() | st.integers(0, 2**45), st.none() | st.integers(1, 2**30))
def test_the_number_is_never_above_any_bound(
    files: int, memory: int | None, conntrack: int | None
) -> None:
    holds = capacity(with_(files_hard=files, memory_available=memory, conntrack_max=conntrack))
    assert 0 <= holds.connections == min(holds.bounds.values())


def test_the_report_ends_with_the_number_what_limits_it_and_what_comes_next() -> None:
    found = with_(files_hard=20_000, sqlite_safe=False)
    lines = report(verdicts(found), capacity(found), colour=False)
    assert lines[-3] == "One node on this machine holds 18,000 connections."
    assert lines[-2].startswith("The limit is the file limit: raise the hard limit")
    assert lines[-1] == "After that: kernel memory for TCP, 575,796."
    assert any(line.startswith("BAD   SQLite") for line in lines)
    assert "\x1b[" in report(verdicts(found), capacity(found), colour=True)[0]


def test_the_json_holds_facts_verdicts_and_capacity() -> None:
    found = json.loads(as_json(GOOD, verdicts(GOOD), capacity(GOOD)))
    assert found["facts"]["files_hard"] == 1_048_576
    assert found["verdicts"][0] == {
        "name": "Python",
        "value": "CPython 3.11.7",
        "grade": "good",
        "advice": "",
    }
    assert found["capacity"]["connections"] == 575_796


def test_facts_are_read_from_a_machines_files(tmp_path: Path) -> None:
    for name, text in {
        "proc/sys/fs/file-max": "9223372036854775807\n",
        "proc/sys/fs/file-nr": "1216\t0\t9223372036854775807\n",
        "proc/sys/net/core/somaxconn": "4096\n",
        "proc/sys/net/core/netdev_max_backlog": "1000\n",
        "proc/sys/net/ipv4/tcp_max_syn_backlog": "2048\n",
        "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
        "proc/sys/net/ipv4/tcp_mem": "1\t2\t3\n",
        "proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
        "proc/meminfo": "MemTotal:  1000 kB\nMemAvailable:  500 kB\nHugePages_Total:  0\nOdd\n",
        "sys/fs/cgroup/memory.max": "512000\n",
        "sys/fs/cgroup/memory.current": "1000\n",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = facts(5, tmp_path)
    assert (found.files_system, found.files_open) == (2**63 - 1, 1_216)
    assert (found.somaxconn, found.netdev_max_backlog, found.syn_backlog) == (4_096, 1_000, 2_048)
    assert (found.ports, found.tcp_memory_pages) == ((32_768, 60_999), (1, 2, 3))
    assert found.conntrack_max == 262_144
    assert (found.memory_total, found.memory_available) == (1_024_000, 512_000)
    assert (found.memory_limit, found.memory_used) == (512_000, 1_000)
    assert found.configured == 5
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert facts(0, tmp_path).memory_limit is None


def test_a_machine_without_these_files_says_nothing(tmp_path: Path) -> None:
    found = facts(0, tmp_path)
    assert found.somaxconn is None
    assert found.memory_total is None
    assert found.tcp_memory_pages is None
    assert found.sqlite_version
    assert read_numbers(tmp_path / "none") is None
    assert read_memory(tmp_path / "none") == {}
