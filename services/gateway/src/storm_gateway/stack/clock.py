"""A clock that is wrong, for one node.

Python looks for a module ``sitecustomize`` before it runs anything. The one that is written here
shifts ``time.time`` and its relatives by what stands in a file, which may change at any time: the
clock then jumps, also back. Only Python is fooled, and only in processes that are given
:attr:`SkewedClock.environment`; ``time.monotonic`` stays true, as it does on real machines, and
``datetime.now`` too, by which no part of a node decides anything.
"""

from collections.abc import Mapping
from pathlib import Path

_MODULE = '''\
"""Written by a test: the clock of this process is wrong on purpose."""

import time

_PATH = {path!r}
_CHECK_SECONDS = 0.02
_true, _true_ns, _clock = time.time, time.time_ns, time.monotonic
_due, _shift = 0.0, 0.0


def _shifted():
    global _due, _shift
    now = _clock()
    if now >= _due:
        _due = now + _CHECK_SECONDS
        try:
            with open(_PATH) as file:
                _shift = float(file.read())
        except (OSError, ValueError):
            pass  # read in the middle of a change: the next time will do
    return _shift


time.time = lambda: _true() + _shifted()
time.time_ns = lambda: _true_ns() + int(_shifted() * 1e9)
'''


class SkewedClock:
    """The clock of the processes that get its environment."""

    def __init__(self, folder: Path) -> None:
        """``folder``: for its two files."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = folder / "shift"
        (folder / "sitecustomize.py").write_text(_MODULE.format(path=str(self._path.resolve())))
        self.shift(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to be fooled; fits into the settings of a node."""
        return {"PYTHONPATH": str(self._folder.resolve())}

    def shift(self, seconds: float) -> None:
        """From now on the clock is so much ahead of the true time; below 0: behind."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(repr(float(seconds)))
        draft.replace(self._path)
