"""What the facts of a machine mean: pure functions."""

from typing import Literal

import msgspec

from storm_gateway.cli.machine import PYTHONS_OWN, Facts

Grade = Literal["good", "note", "bad"]
SHARE_OF_FILES = 0.9
"""As admission has it: the rest of the file limit is for the database, logs and requests."""
PROCESS_BYTES = 200 * 1024 * 1024
"""A node without connections, with room for its working set."""
CONNECTION_BYTES = 10 * 1024
"""An idle connection: up to 3 KiB in the process, 5 to 7 KiB in the kernel for its socket."""
GOOD_BACKLOG = 4_096
UNLIMITED = 2**60


class Verdict(msgspec.Struct, frozen=True):
    """One thing that was looked at; ``advice`` says what to do, if anything."""

    name: str
    value: str
    grade: Grade
    advice: str = ""


class Capacity(msgspec.Struct, frozen=True):
    """How many connections one node holds here, and each bound that was considered."""

    connections: int
    limited_by: str
    remedy: str
    bounds: dict[str, int]


def mebibytes(size: int | None) -> str:
    """A size for people."""
    if size is None:
        return "unknown"
    return f"{size / 1024**3:.1f} GiB" if size >= 1024**3 else f"{size / 1024**2:.0f} MiB"


def free_memory(facts: Facts) -> int | None:
    """What a new process may use: the least that the machine and the container leave."""
    left = [] if facts.memory_available is None else [facts.memory_available]
    if facts.memory_limit is not None:
        left.append(max(0, facts.memory_limit - (facts.memory_used or 0)))
    return min(left) if left else None


def capacity(facts: Facts) -> Capacity:
    """The least of all bounds."""
    hard = facts.files_hard if facts.files_hard >= 0 else UNLIMITED
    bounds = {"file limit": int(hard * SHARE_OF_FILES)}
    remedies = {
        "file limit": (
            f"raise the hard limit of open files ({facts.files_hard}): LimitNOFILE= in a systemd "
            "unit, --ulimit nofile= for a container; or run several nodes, each with a limit of "
            "its own: storm serve --workers N"
        ),
        "memory": "free memory, or give the machine or the container more",
        "kernel memory for TCP": "raise net.ipv4.tcp_mem (sysctl)",
        "open files of the whole system": "raise fs.file-max (sysctl)",
        "connection tracking": (
            "raise net.netfilter.nf_conntrack_max (sysctl), or exempt the port from tracking"
        ),
        "STORM_MAX_CONNECTIONS": "raise it, or set it to 0",
    }
    memory = free_memory(facts)
    if memory is not None:
        bounds["memory"] = max(0, memory - PROCESS_BYTES) // CONNECTION_BYTES
    if facts.tcp_memory_pages is not None:
        # A connection with anything in flight takes a page at least.
        bounds["kernel memory for TCP"] = facts.tcp_memory_pages[2]
    if facts.files_system is not None:
        bounds["open files of the whole system"] = facts.files_system - (facts.files_open or 0)
    if facts.conntrack_max is not None:
        bounds["connection tracking"] = facts.conntrack_max
    if facts.configured:
        bounds["STORM_MAX_CONNECTIONS"] = facts.configured
    least = min(bounds, key=lambda name: bounds[name])
    return Capacity(bounds[least], least, remedies[least], bounds)


def verdicts(facts: Facts) -> list[Verdict]:
    """Everything that was looked at, in the order in which it is shown."""
    return [
        Verdict("Python", facts.python, "good"),
        _event_loop(facts),
        _allocator(facts),
        _cpus(facts),
        _sqlite(facts),
        _files(facts),
        _backlog(
            "net.core.somaxconn",
            facts.somaxconn,
            GOOD_BACKLOG,
            "connections that wait for accept; more arriving at once are dropped",
        ),
        _backlog(
            "net.ipv4.tcp_max_syn_backlog",
            facts.syn_backlog,
            1_024,
            "handshakes under way; a storm of reconnections fills it",
        ),
        _backlog(
            "net.core.netdev_max_backlog",
            facts.netdev_max_backlog,
            10_000,
            "packets that wait for a CPU; on loopback under load the tail of latencies",
        ),
        _ports(facts),
        _tcp_memory(facts),
        _memory(facts),
        _conntrack(facts),
    ]


def _event_loop(facts: Facts) -> Verdict:
    if facts.event_loop == "asyncio":
        return Verdict("event loop", "asyncio", "note", "install uvloop: twice as fast")
    return Verdict("event loop", facts.event_loop, "good")


def _allocator(facts: Facts) -> Verdict:
    if facts.allocator == PYTHONS_OWN:
        advice = (
            "install jemalloc (Debian: libjemalloc2): of several nodes, it gives more back when a "
            "crowd has left"
        )
        return Verdict("memory allocator", facts.allocator, "note", advice)
    return Verdict("memory allocator", facts.allocator, "good")


def _cpus(facts: Facts) -> Verdict:
    if facts.cpus == 1:
        advice = "the database's thread shares the core with the connections"
        return Verdict("CPUs", "1", "note", advice)
    return Verdict("CPUs", str(facts.cpus), "good")


def _sqlite(facts: Facts) -> Verdict:
    value = f"{facts.sqlite_version} ({facts.sqlite_module})"
    if not facts.sqlite_safe:
        return Verdict(
            "SQLite",
            value,
            "bad",
            "can lose commits with several connections in WAL mode, so only one is used, and "
            "'storm user' and 'storm import' must not run beside the server: install pysqlite3",
        )
    return Verdict("SQLite", value, "good")


def _files(facts: Facts) -> Verdict:
    hard = str(facts.files_hard) if facts.files_hard >= 0 else "unlimited"
    value = f"{facts.files_soft} soft, {hard} hard"
    if 0 <= facts.files_hard < 10_000:
        advice = "a node holds 90 % of the hard limit: raise it"
        return Verdict("open files", value, "bad", advice)
    if facts.files_hard < 0 or facts.files_soft < facts.files_hard:
        return Verdict("open files", value, "good", "'storm serve' raises soft to hard itself")
    return Verdict("open files", value, "good")


def _backlog(name: str, value: int | None, good: int, meaning: str) -> Verdict:
    if value is None:
        return Verdict(name, "unknown", "note", "this system does not say")
    if value < good:
        return Verdict(name, str(value), "note", f"{meaning}: sysctl -w {name}={good}")
    return Verdict(name, str(value), "good")


def _ports(facts: Facts) -> Verdict:
    name = "net.ipv4.ip_local_port_range"
    if facts.ports is None:
        return Verdict(name, "unknown", "note", "this system does not say")
    low, high = facts.ports
    count = high - low + 1
    value = f"{low}-{high}"
    if count < 50_000:
        advice = (
            f"no limit of the server's; but a proxy or load generator on this machine opens at "
            f"most {count} connections to one address of it: sysctl -w {name}='1024 65535'"
        )
        return Verdict(name, value, "note", advice)
    return Verdict(name, value, "good")


def _tcp_memory(facts: Facts) -> Verdict:
    if facts.tcp_memory_pages is None:
        return Verdict("net.ipv4.tcp_mem", "unknown", "note", "this system does not say")
    size = facts.tcp_memory_pages[2] * facts.page_size
    value = f"{' '.join(map(str, facts.tcp_memory_pages))} pages ({mebibytes(size)} at most)"
    if size < 256 * 1024 * 1024:
        advice = "buffers of all connections together; slow clients fill them: raise it"
        return Verdict("net.ipv4.tcp_mem", value, "note", advice)
    return Verdict("net.ipv4.tcp_mem", value, "good")


def _memory(facts: Facts) -> Verdict:
    value = f"{mebibytes(free_memory(facts))} free of {mebibytes(facts.memory_total)}"
    if facts.memory_limit is not None:
        value += f", container limit {mebibytes(facts.memory_limit)}"
    free = free_memory(facts)
    if free is not None and free < 2 * PROCESS_BYTES:
        return Verdict("memory", value, "bad", "too little for a node under load")
    return Verdict("memory", value, "good")


def _conntrack(facts: Facts) -> Verdict:
    name = "nf_conntrack_max"
    if facts.conntrack_max is None:
        return Verdict(name, "no connection tracking", "good")
    if facts.conntrack_max < 262_144:
        advice = "above it, the firewall drops new connections silently: raise it"
        return Verdict(name, str(facts.conntrack_max), "note", advice)
    return Verdict(name, str(facts.conntrack_max), "good")
