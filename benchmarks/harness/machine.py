"""What the figures were measured on."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from harness.paths import GORILLA, PEERS, REPOSITORY, VENV
from harness.servers import storm_python

VERSIONS_OF = ("fastapi", "uvicorn", "websockets", "uvloop", "pyjwt")
MORE_VERSIONS_OF = ("python-socketio", "python-engineio")
_SHOW_VERSIONS = """
import sys, importlib.metadata as m
for name in sys.argv[1:]:
    try: print(name, m.version(name))
    except m.PackageNotFoundError: pass
"""
_SHOW_SQLITE = """
try: import pysqlite3 as s
except ImportError: import sqlite3 as s
print(s.sqlite_version)
"""


def _run(*command: str | Path, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 fixed commands
            command, capture_output=True, text=True, cwd=folder, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _packages(python: str | Path, names: Iterable[str]) -> dict[str, str]:
    lines = _run(python, "-c", _SHOW_VERSIONS, *names).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def commit() -> str:
    """The commit of this tree, marked when files differ from it."""
    folder = REPOSITORY
    short = _run("git", "rev-parse", "--short=12", "HEAD", folder=folder) or "none"
    changed = _run("git", "status", "--porcelain", "--", "services/gateway/src", folder=folder)
    return f"{short} with changes" if changed else short


def machine() -> dict[str, str]:
    """The hardware and the kernel's settings that matter here."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{os.cpu_count()} of {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "TCP congestion control": _sysctl("net.ipv4.tcp_congestion_control"),
        "net.core.netdev_max_backlog": _sysctl("net.core.netdev_max_backlog"),
        "net.core.somaxconn": _sysctl("net.core.somaxconn"),
        "load before the run": f"{os.getloadavg()[0]:.2f}",
    }


def _node_package(name: str) -> str:
    # Some packages do not let their package.json be required by name.
    path = PEERS / "node_modules" / name / "package.json"
    return str(json.loads(path.read_text())["version"]) if path.exists() else ""


def _go_modules() -> dict[str, str]:
    lines = _run("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "all", folder=GORILLA)
    modules = (line.partition(" ") for line in lines.splitlines())
    return {path: version for path, _space, version in modules if version}


def versions(*, all_peers: bool = False) -> dict[str, str]:
    """What was compared, as installed."""
    found = {"Python": platform.python_version()}
    if python := storm_python():
        found |= {
            f"STORM's {name}": version
            for name, version in _packages(python, ("uvicorn", "uvloop", "msgspec")).items()
        }
        found["STORM's SQLite"] = _run(python, "-c", _SHOW_SQLITE)
    names = (*VERSIONS_OF, *(MORE_VERSIONS_OF if all_peers else ()))
    found |= _packages(VENV / "bin" / "python", names)
    found["Node"] = _run("node", "--version")
    found["ws"] = _node_package("ws")
    if all_peers:
        found["socket.io"] = _node_package("socket.io")
        found["Go"] = _run("go", "version").removeprefix("go version ")
        found |= _go_modules()
    found["C compiler"] = (_run("cc", "--version").splitlines() or [""])[0]
    return {name: version for name, version in found.items() if version}


def now() -> str:
    """The time of the run."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
