"""Where the memory of nodes comes from."""

import ctypes.util
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Literal

Allocator = Literal["auto", "python"]
_CHOSEN = ("PYTHONMALLOC", "LD_PRELOAD")
SETTINGS = "narenas:1"
"""Python lets one thread of a node work at a time. An arena for each processor, and more, would
only keep more that is free."""
_TRIAL = "import ctypes; ctypes.CDLL(None).mallctl"
_TRIAL_SECONDS = 10


@functools.cache
def usable(name: str) -> str | None:
    """The library of this name, if this machine has it and a process can begin with it: one that
    was built for another size of pages ends every program.
    """
    library = ctypes.util.find_library(name)
    if library is None:
        return None
    try:
        subprocess.run(  # noqa: S603 Python itself
            [sys.executable, "-S", "-c", _TRIAL],
            env={**os.environ, "LD_PRELOAD": library, "PYTHONMALLOC": "malloc"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return library


def environment(
    allocator: Allocator,
    inherited: Mapping[str, str],
    find: Callable[[str], str | None] = usable,
) -> dict[str, str]:
    """What a node has to find in its environment, beside what it inherits.

    An allocator is there before the program is, so a node cannot choose its own; who starts it
    does. ``auto``: jemalloc, for all objects of Python as well, where this machine has it (decision
    0029), unless somebody has chosen already, with ``PYTHONMALLOC`` or ``LD_PRELOAD``.
    """
    if allocator == "python" or sys.platform != "linux" or any(map(inherited.get, _CHOSEN)):
        return {}
    library = find("jemalloc")
    if library is None:
        return {}
    return {
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",
        "MALLOC_CONF": inherited.get("MALLOC_CONF") or SETTINGS,
    }
