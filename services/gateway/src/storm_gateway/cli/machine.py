"""Facts of this machine that decide how many connections it holds. Read, not judged."""

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from storm_gateway.observability.allocator import environment

PYTHONS_OWN = "Python's own"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; None: this machine does not say. Sizes in bytes."""

    python: str
    event_loop: str
    allocator: str
    """Where nodes that ``storm up`` or ``--workers`` starts have their memory from, unless somebody
    chose another."""
    cpus: int
    files_soft: int
    files_hard: int
    files_system: int | None
    files_open: int | None
    somaxconn: int | None
    netdev_max_backlog: int | None
    syn_backlog: int | None
    ports: tuple[int, int] | None
    tcp_memory_pages: tuple[int, int, int] | None
    page_size: int
    conntrack_max: int | None
    memory_total: int | None
    memory_available: int | None
    memory_limit: int | None
    """The limit of the container (cgroup), if there is one."""
    memory_used: int | None
    """What the container uses of it."""
    sqlite_module: str
    sqlite_version: str
    sqlite_safe: bool
    configured: int
    """``STORM_MAX_CONNECTIONS``; 0: not set."""


def read_numbers(path: Path) -> list[int] | None:
    """The numbers in a file of /proc or /sys; None when it is not there or holds none."""
    try:
        numbers = [int(part) for part in path.read_text().split()]
    except (OSError, ValueError):
        return None
    return numbers or None


def _number(path: Path) -> int | None:
    numbers = read_numbers(path)
    return numbers[0] if numbers else None


def read_memory(path: Path) -> dict[str, int]:
    """``/proc/meminfo`` in bytes."""
    found = {}
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        name, _, rest = line.partition(":")
        amount = rest.split()
        if amount and amount[0].isdecimal():
            found[name] = int(amount[0]) * (1024 if amount[-1] == "kB" else 1)
    return found


def event_loop_name() -> str:
    """The event loop that ``storm serve`` runs on."""
    try:
        return f"uvloop {version('uvloop')}"
    except PackageNotFoundError:
        return "asyncio"


def facts(configured: int, root: Path = Path("/")) -> Facts:
    """Look at this machine."""
    from storm_gateway.store.sqlite import sqlite_facts

    kernel = root / "proc/sys"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    memory = read_memory(root / "proc/meminfo")
    ports = read_numbers(kernel / "net/ipv4/ip_local_port_range")
    pages = read_numbers(kernel / "net/ipv4/tcp_mem")
    opened = read_numbers(kernel / "fs/file-nr")
    group = root / "sys/fs/cgroup"
    limit = _number(group / "memory.max") or _number(group / "memory/memory.limit_in_bytes")
    used = _number(group / "memory.current") or _number(group / "memory/memory.usage_in_bytes")
    total = memory.get("MemTotal")
    sqlite = sqlite_facts()
    return Facts(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        event_loop=event_loop_name(),
        allocator="jemalloc" if environment("auto", {}) else PYTHONS_OWN,
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        files_soft=soft,
        files_hard=hard,
        files_system=_number(kernel / "fs/file-max"),
        files_open=opened[0] if opened else None,
        somaxconn=_number(kernel / "net/core/somaxconn"),
        netdev_max_backlog=_number(kernel / "net/core/netdev_max_backlog"),
        syn_backlog=_number(kernel / "net/ipv4/tcp_max_syn_backlog"),
        ports=(ports[0], ports[1]) if ports and len(ports) == 2 else None,
        tcp_memory_pages=(pages[0], pages[1], pages[2]) if pages and len(pages) == 3 else None,
        page_size=resource.getpagesize(),
        conntrack_max=_number(kernel / "net/netfilter/nf_conntrack_max"),
        memory_total=total,
        memory_available=memory.get("MemAvailable"),
        # Version 1 says "no limit" by a number far above any memory.
        memory_limit=limit if limit and (total is None or limit < total) else None,
        memory_used=used,
        sqlite_module=sqlite.module,
        sqlite_version=sqlite.version,
        sqlite_safe=sqlite.safe,
        configured=configured,
    )
