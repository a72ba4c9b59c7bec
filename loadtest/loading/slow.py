"""Slow readers: k6 processes that are frozen for a while, and read nothing meanwhile."""

import threading
import time
from collections.abc import Sequence

from common.progress import say

from loading.fleet import Process
from loading.profile import Profile


class Freezer:
    """Freezes some processes as often and as long as a profile says, in a thread of its own."""

    def __init__(self, profile: Profile) -> None:
        slow = profile.slow
        self._seconds = slow.seconds
        step = profile.hold_seconds / max(1, slow.times)
        self._moments = [
            max(0.0, (number + 0.5) * step - slow.seconds / 2) for number in range(slow.times)
        ]
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, processes: Sequence[Process], hold_begins: float) -> None:
        """``hold_begins``: of the machine's clock. Without processes nothing happens."""
        if not processes:
            return

        def run() -> None:
            for moment in self._moments:
                if self._end.wait(max(0.0, hold_begins + moment - time.time())):
                    return
                users = sum(process.part.users for process in processes)
                say(f"{users:,} users stop reading for {self._seconds:g} s")
                for process in processes:
                    process.freeze()
                self._end.wait(self._seconds)
                for process in processes:
                    process.thaw()
                say("they read again")

        self._thread = threading.Thread(target=run, name="freezer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """All read again."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
