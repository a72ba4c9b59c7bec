"""``storm audit`` rides along: its clients among the crowd prove that nothing is lost."""

import os
import subprocess
import threading
from collections.abc import Sequence

from common.paths import PYTHON
from common.progress import say

_SENDERS, _RECEIVERS, _CHANNELS = 4, 6, 3
_ENDING_SECONDS = 90.0
"""How long it may take after its last message, to read the history page by page."""


class Audit:
    """One run of it, against the nodes' own addresses."""

    def __init__(self, urls: Sequence[str], secret: str, seconds: float, rate: float) -> None:
        """``rate``: its messages a second. The secret goes by the environment alone."""
        self.verdict: list[str] = []
        """What it says in the end."""
        command = [str(PYTHON.parent / "storm"), "audit", "--seconds", f"{seconds:g}"]
        command += ["--senders", str(_SENDERS), "--receivers", str(_RECEIVERS)]
        command += ["--channels", str(_CHANNELS), "--rate", f"{rate:g}"]
        for url in urls:
            command += ["--url", url]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STORM_")}
        self._running = subprocess.Popen(  # noqa: S603 our own program
            command,
            env={**inherited, "STORM_JWT_SECRET": secret},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its progress
            text=True,
            process_group=0,  # Ctrl-C is for us
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        say(
            f"storm audit rides along: {_SENDERS} who send {rate:g} a second, {_RECEIVERS} who hear"
        )

    @property
    def pid(self) -> int:
        return self._running.pid

    def _read(self) -> None:
        assert self._running.stdout is not None  # noqa: S101 a pipe
        for line in self._running.stdout:
            if line.strip():
                self.verdict.append(line.strip())

    def wait(self) -> str | None:
        """Until it has judged; what is wrong, in words."""
        try:
            status = self._running.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return f"storm audit did not end within {_ENDING_SECONDS:g} s of the last message"
        self._reader.join()
        say("storm audit: " + "; ".join(self.verdict))
        return None if status == 0 else f"storm audit ended with status {status}"

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running.poll() is None:
            self._running.terminate()
            try:
                self._running.wait(10)
            except subprocess.TimeoutExpired:
                self._running.kill()
                self._running.wait()
        self._reader.join()
