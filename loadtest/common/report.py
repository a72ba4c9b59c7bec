"""Reports: what was measured, on what, when, and with which command."""

import importlib.metadata
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from common.paths import REPOSITORY
from common.progress import say


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def circumstances(command: str) -> str:
    """When, what, on what: the head of a report."""
    load = os.getloadavg()[0]
    rows = [
        ("Date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("Commit", _commit()),
        ("Command", f"`{command}`"),
        ("Machine", f"{_processor()}, {os.cpu_count()} cores, {_memory()}"),
        ("Kernel", f"{platform.system()} {platform.release()}"),
        ("Python", f"{platform.python_version()}, uvloop {_version('uvloop')}, {_sqlite()}"),
        ("Load", f"{load:.1f} in the minute at the end, of everything on the machine"),
        ("Priority", _priority()),
        ("Data folder", f"on {_filesystem(tempfile.gettempdir())}"),
    ]
    return table(("", "what"), rows).replace("---: |", "--- |")


def write(path: Path, text: str) -> None:
    """Write a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    say(f"wrote {path}")


def verdict(faults: Sequence[str]) -> str:
    """The result in words."""
    if not faults:
        return "**Result: passed.**"
    return "**Result: failed.**\n\n" + "\n".join(f"- {fault}" for fault in faults[:50])


def _commit() -> str:
    try:
        short = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", "services/gateway/src")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{short}{' (the gateway had uncommitted changes)' if changed else ''}"


def _filesystem(folder: str) -> str:
    """The kind of the filesystem that a folder is on: tmpfs is memory, and knows no slow disk."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        inside = Path(folder).is_relative_to(mount)
        if inside and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def _priority() -> str:
    """Where the scheduler groups by session, the nice of the group counts against others."""
    text = f"nice {os.nice(0)}"
    try:
        return (
            f"{text}, session's {Path('/proc/self/autogroup').read_text().split(' ', 1)[1].strip()}"
        )
    except (OSError, IndexError):
        return text


def _git(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 fixed commands
        ["git", *arguments],  # noqa: S607 whichever git there is
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory() -> str:
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    return f"{kib / 1024 / 1024:.0f} GiB"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _sqlite() -> str:
    try:
        from pysqlite3 import sqlite_version
    except ImportError:
        from sqlite3 import sqlite_version
    return f"SQLite {sqlite_version}"
