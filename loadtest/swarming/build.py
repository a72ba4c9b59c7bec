"""The C program, compiled when its sources have changed."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from common.paths import REPOSITORY

_SOURCES = REPOSITORY / "loadtest" / "swarm"
_SHARED = REPOSITORY / "benchmarks" / "client"
"""Frames and histograms are those of the benchmarks' client."""
_SHARED_FILES = ("wire.c", "wire.h", "histogram.c", "histogram.h")
_FOLDER = REPOSITORY / "build" / "swarm"
_FLAGS = ("-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wshadow")


def program() -> Path:
    """Where the program is. Raises ``RuntimeError`` when there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("the swarm needs a C compiler (cc), and there is none in PATH")
    sources = [*sorted(_SOURCES.glob("*.[ch]")), *(_SHARED / name for name in _SHARED_FILES)]
    digest = hashlib.sha256(" ".join(_FLAGS).encode())
    for source in sources:
        digest.update(source.read_bytes())
    made = _FOLDER / f"swarm-{digest.hexdigest()[:16]}"
    if not made.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        # Two that compile at once do not run each other's half.
        half = made.with_suffix(f".{os.getpid()}")
        files = [str(source) for source in sources if source.suffix == ".c"]
        command = [compiler, *_FLAGS, f"-I{_SHARED}", "-o", str(half), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"the swarm does not compile:\n{done.stderr}")
        half.rename(made)
    return made
