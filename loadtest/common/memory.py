"""What a process and its sockets hold, from /proc."""

import os
from contextlib import suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LARGE_BYTES = 512 * 2**20
_OF_FILES = {
    "buffer_head",
    "ext4_extent_status",
    "ext4_inode_cache",
    "inode_cache",
    "jbd2_journal_head",
    "proc_inode_cache",
    "radix_tree_node",
    "shmem_inode_cache",
    "xfs_inode",
}
"""What the kernel calls the objects of its caches of files. Sockets have entries among ``dentry``,
so that is not one of them."""


def pss(pid: int) -> int:
    """Proportional set size in bytes; 0 when it cannot be read.

    Of a large process the resident set: the kernel counts shares page by page, tenths of a second
    for gigabytes, and what is so large (a load generator) shares next to nothing.
    """
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        if resident > _LARGE_BYTES:
            return resident
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def memory_available() -> int:
    """Bytes that this machine, or the group of processes that a container is, has left; 0 when
    that cannot be read.
    """
    left = 0
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                left = int(line.split()[1]) * 1024
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())  # "max" is no number
        left = min(left, most - int((group / "memory.current").read_text()))
    return left


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def tcp_memory() -> int:
    """Bytes that the kernel holds for all TCP sockets of this machine, both ends."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            fields = line.split()
            return int(fields[fields.index("mem") + 1]) * _PAGE
    return 0


def kernel_memory() -> int:
    """Bytes of the kernel that grow with connections, both ends: its objects (sockets, inodes,
    descriptors, places in epoll, and whatever else) and what TCP has in buffers.

    Without its caches of files, where it tells of them (to root): reading ``/proc`` and writing a
    database fill those, too.
    """
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * 1024 - _caches_of_files() + tcp_memory()
    return 0


def _caches_of_files() -> int:
    total = 0
    with suppress(OSError):
        for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
            name, _used, objects, size, *_ = line.split()
            if name in _OF_FILES:
                total += int(objects) * int(size)
    return total


def send_queues(port: int) -> int:
    """Bytes in the kernel's send queues of the connections to a local port, server's side."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            total += int(fields[4].partition(":")[0], 16)
    return total
