"""What the kernel knows about processes: memory, CPU time, and who else is busy."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += family(int(child))
    return found


def pss_bytes(pid: int) -> int:
    """Proportional set size of a process and its descendants: shared pages count once.

    Without the pages of program files: their share changes by megabytes whenever anything else on
    the machine that maps the same libraries starts or ends, and no connection has any.
    """
    total = 0
    for member in family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants."""
    total = 0
    for member in family(pid):
        # The name stands in brackets and may hold spaces; the numbers begin after it.
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


@dataclass(frozen=True)
class Busy:
    """CPU seconds of the whole machine since its start."""

    used: float
    stolen: float


def machine_busy() -> Busy:
    """How much all processors together have worked, and how much the host took away."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return Busy((user + nice + system + irq + softirq) / TICKS, steal / TICKS)
