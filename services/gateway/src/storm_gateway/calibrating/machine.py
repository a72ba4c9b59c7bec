"""Which machine this is, and how busy."""

import os
import platform
from pathlib import Path


def name() -> str:
    """Its processor, cores and memory, for people."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {_memory()}"


def load() -> float:
    """Of the last minute; 0: this system does not say."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def _processor() -> str:
    for name, value in _lines(Path("/proc/cpuinfo")):
        if name == "model name":
            return value
    return platform.machine()


def _memory() -> str:
    for name, value in _lines(Path("/proc/meminfo")):
        if name == "MemTotal":
            return f"{int(value.split()[0]) / 1024**2:.0f} GiB"
    return "memory unknown"


def _lines(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    parts = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in parts]
