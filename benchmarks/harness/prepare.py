"""Builds and installs what the run needs, and only what has changed since the last one."""
# ruff: noqa: S603 every command here is made of fixed parts

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from harness.paths import BUILD, CLIENT_SOURCES, GORILLA, LIMIT_SOURCES, LOCK, PEERS, VENV
from harness.progress import say

CFLAGS = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow"]


class UnavailableError(Exception):
    """A peer cannot be had on this machine; says why. The others are measured without it."""


def _compile(sources: Path, program: Path) -> Path:
    """Make one program of all C files of a folder."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("a C compiler (cc) is needed to build the load client")
    program.parent.mkdir(exist_ok=True)
    files = [str(path) for path in sorted(sources.glob("*.c"))]
    subprocess.run([compiler, *CFLAGS, "-o", str(program), *files], check=True)
    return program


def load_client(folder: Path = BUILD) -> Path:
    """The client that every server is measured with."""
    return _compile(CLIENT_SOURCES, folder / "stormload")


def limit_server(folder: Path = BUILD) -> Path:
    """The bare epoll loop."""
    return _compile(LIMIT_SOURCES, folder / "epoll_loop")


def peer_python() -> Path:
    """The Python of the virtual environment that holds the Python peers, as locked."""
    python = VENV / "bin" / "python"
    stamp = VENV / ".installed"
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say("installing the Python peers")
    uv = _uv()
    if uv:
        subprocess.run(
            [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV], check=True
        )
        install = [*uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        venv.create(VENV, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--require-hashes", "-r", str(LOCK)], check=True)
    stamp.write_text(wanted)
    return python


def node_modules() -> str:
    """Install the Node peers as locked. Returns the path of Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SystemExit(
            "Node and npm are needed for the peers 'ws' and 'socketio'"
            " (or leave them out with --only)"
        )
    lock = (PEERS / "package-lock.json").read_bytes()
    stamp = PEERS / "node_modules" / ".installed"
    wanted = hashlib.sha256(lock).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        say("installing the Node peers")
        subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=PEERS, check=True)
        stamp.write_text(wanted)
    return node


def gorilla_server() -> Path:
    """Build the Go peer from its locked modules.

    Raises:
        UnavailableError: Go is missing, or its modules cannot be fetched.
    """
    go = shutil.which("go")
    if go is None:
        raise UnavailableError("Go is not installed")
    program = BUILD / "gorilla_room"
    BUILD.mkdir(exist_ok=True)
    done = subprocess.run(
        [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", program, "."],
        cwd=GORILLA,
        env={**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise UnavailableError(f"Go cannot build it (are its modules within reach?): {last}")
    return program


def _uv() -> list[str] | None:
    if found := shutil.which("uv"):
        return [found]
    probe = subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True)
    return [sys.executable, "-m", "uv"] if probe.returncode == 0 else None
