"""On what a run was made: for the report."""

import os
import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.programs import nats_server, postgres, valkey_server
from storm_gateway.version import VERSION

_ASK_SECONDS = 5


def environment() -> dict[str, str]:
    """Versions and machine, name → text."""
    found = {
        "STORM": VERSION,
        "commit": _commit(),
        "Python": platform.python_version(),
        "uvloop": _package("uvloop"),
        "NATS server": _program(nats_server, "--version"),
        "Valkey": _program(valkey_server, "--version"),
        "PostgreSQL": _program(lambda: postgres("postgres"), "--version"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
    }
    return {name: text for name, text in found.items() if text}


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _program(find: Callable[[], str], option: str) -> str:
    try:
        return _say([find(), option])
    except StackError:
        return ""


def _commit() -> str:
    """Of the source tree that this runs from; empty when it was installed."""
    here = Path(__file__).resolve().parent
    if "site-packages" in here.parts:
        return ""
    return _say(["git", "-C", str(here), "rev-parse", "--short", "HEAD"])


def _say(command: list[str]) -> str:
    """The first line that a program says; empty when it cannot."""
    try:
        ran = subprocess.run(  # noqa: S603 our own command lines
            command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip().partition("\n")[0] if ran.returncode == 0 else ""
