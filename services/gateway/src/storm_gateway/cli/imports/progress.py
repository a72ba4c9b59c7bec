"""How far an import is: a line that moves on a terminal, a line every few seconds otherwise."""

import time
from collections.abc import Callable
from typing import TextIO

TERMINAL_SECONDS = 0.1
PIPE_SECONDS = 5.0
_BAR = 24


class Progress:
    """Written to ``out`` now and then; ``update`` is cheap to call for every batch."""

    def __init__(
        self, out: TextIO, total_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``total_bytes`` of all input; 0: unknown."""
        self._out = out
        self._total = total_bytes
        self._clock = clock
        self._terminal = out.isatty()
        self._began = clock()
        self._told = self._began
        self._drawn = False

    def update(self, messages: int, done_bytes: int) -> None:
        """So many messages and bytes are done."""
        now = self._clock()
        if now - self._told < (TERMINAL_SECONDS if self._terminal else PIPE_SECONDS):
            return
        self._told = now
        text = self.text(messages, done_bytes, now)
        self._out.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._out.flush()
        self._drawn = self._terminal

    def end(self) -> None:
        """Take the moving line away."""
        if self._drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def text(self, messages: int, done_bytes: int, now: float) -> str:
        """What is shown."""
        rate = messages / max(now - self._began, 0.001)
        counted = f"{messages:,} messages, {rate:,.0f}/s"
        if not self._total:
            return counted
        share = min(1.0, done_bytes / self._total)
        bar = "█" * round(share * _BAR)
        return f"{bar:░<{_BAR}} {share:4.0%}  {counted}"
