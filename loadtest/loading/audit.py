"""``storm audit`` rides along: its clients among the crowd prove that nothing is lost."""

import os
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO

from common.paths import PYTHON
from common.progress import say

_SENDERS, _RECEIVERS, _CHANNELS = 4, 6, 3
_KEPT_WORDS = 5
_PROGRESS = " acks/s "
"""Is in the lines by which it tells how it goes."""
_ENDING_SECONDS = 90.0
"""How long it may take after its last message, to read the history page by page."""


class Audit:
    """One run of it, against the nodes' own addresses."""

    def __init__(self, urls: Sequence[str], secret: str, seconds: float, rate: float) -> None:
        """``rate``: its messages a second. The secret goes by the environment alone."""
        self.verdict: list[str] = []
        """What it says in the end."""
        self._words: deque[str] = deque(maxlen=_KEPT_WORDS)
        """What it said last beside that."""
        command = [str(PYTHON.parent / "storm"), "audit", "--seconds", f"{seconds:g}"]
        command += ["--senders", str(_SENDERS), "--receivers", str(_RECEIVERS)]
        command += ["--channels", str(_CHANNELS), "--rate", f"{rate:g}"]
        for url in urls:
            command += ["--url", url]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STORM_")}
        self._running = made = subprocess.Popen(  # noqa: S603 our own program
            command,
            env={**inherited, "STORM_JWT_SECRET": secret},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for us
        )
        self._readers = [
            threading.Thread(target=self._read, args=(made.stdout, self.verdict)),
            threading.Thread(target=self._read, args=(made.stderr, self._words)),
        ]
        for reader in self._readers:
            reader.start()
        say(
            f"storm audit rides along: {_SENDERS} who send {rate:g} a second, {_RECEIVERS} who hear"
        )

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def ended(self) -> bool:
        """Whether it has, before its time."""
        return self._running.poll() is not None

    def _read(self, source: IO[str], into: "list[str] | deque[str]") -> None:
        for line in source:
            if line.strip() and _PROGRESS not in line:
                into.append(line.strip())

    def wait(self) -> str | None:
        """Until it has judged; what is wrong, in words."""
        try:
            status = self._running.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return f"storm audit did not end within {_ENDING_SECONDS:g} s of the last message"
        self._join()
        for line in self.verdict:
            say(f"storm audit: {line}")
        if status == 0:
            return None
        return f"storm audit ended with status {status}: {'; '.join(self._words)}"

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running.poll() is None:
            self._running.terminate()
            try:
                self._running.wait(10)
            except subprocess.TimeoutExpired:
                self._running.kill()
                self._running.wait()
        self._join()

    def _join(self) -> None:
        for reader in self._readers:
            reader.join()
        for pipe in (self._running.stdout, self._running.stderr):
            assert pipe is not None  # noqa: S101 a pipe
            pipe.close()
