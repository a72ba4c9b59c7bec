"""What every run of the benchmark begins with: files, folders, tokens, and nobody else at it."""

import fcntl
import os
import resource
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import prepare
from harness.paths import BUILD, WORK
from harness.progress import say
from harness.room import Plan
from harness.tokens import write_tokens

SPARE_FILES = 200


def raise_file_limit(needed: int) -> None:
    """Let this process and its children open as many files as the system allows."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(f"a process may open {hard} files here, {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def alone() -> Iterator[None]:
    """Two runs at once would measure each other, and share their folders."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit("another run of the benchmark is under way") from None
        yield


def fresh_folder(name: str) -> Path:
    """An empty folder for one server's data."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def new_plan(connections: int, seconds: float, idle_seconds: float, users: int) -> Plan:
    """The plan of this run, with tokens of ``users`` and the first and the last processor."""
    processors = sorted(os.sched_getaffinity(0))
    secret = secrets.token_hex(32)
    tokens = fresh_folder("tokens") / "tokens"
    write_tokens(tokens, secret, users)
    return Plan(
        connections=connections,
        seconds=seconds,
        idle_seconds=idle_seconds,
        server_cpu=processors[0],
        client_cpu=processors[-1],
        client_program=prepare.load_client(),
        tokens=tokens,
        secret=secret,
    )


def settings_of(plan: Plan) -> dict[str, Any]:
    """What of the plan belongs beside the figures."""
    names = ("connections", "seconds", "server_cpu", "client_cpu")
    return {name: getattr(plan, name) for name in names}


def attempt(
    failures: list[str], what: str, job: Callable[[], dict[str, Any]]
) -> dict[str, Any] | None:
    """The figures of one job, or ``None`` and a line more in ``failures``."""
    say(f"{what}: started")
    try:
        return job()
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        failures.append(f"{what}: {error}")
        say(f"FAILED {failures[-1]}")
        return None
