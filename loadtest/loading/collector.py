"""k6 collects its garbage while the machine has time for it: before the first message, and after
each spike. Else it does so when its memory is full, which is in the midst of a spike: for seconds
its users hear late what was delivered in time.
"""

import http.client
import threading
import time
from collections.abc import Sequence

from common.progress import say

from loading.fleet import Process
from loading.profile import Profile

_AFTER_SECONDS = 2.0
"""After the last user came, or the spike ended, what was late is there."""
_PATIENCE_SECONDS = 60.0


class Collector:
    """One process after the other, in a thread of its own, where a profile takes memory ahead."""

    def __init__(self, profile: Profile) -> None:
        talk_begins = profile.ramp_seconds + profile.calm_seconds
        moments = [profile.ramp_seconds]
        moments += [talk_begins + spike.at + spike.seconds for spike in profile.spikes]
        self._moments = [moment + _AFTER_SECONDS for moment in moments]
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, processes: Sequence[Process], began: float) -> None:
        """``began``: the first connect, of the machine's clock. Who has no bound of memory has no
        door for this either, and is left alone.
        """
        told = [process for process in processes if process.door]
        if not told:
            return

        def run() -> None:
            for moment in self._moments:
                if self._end.wait(max(0.0, began + moment - time.time())):
                    return
                since = time.monotonic()
                for process in told:
                    if self._end.is_set():
                        return
                    _collect(process)
                say(f"k6 collected its garbage within {time.monotonic() - since:.1f} s")

        self._thread = threading.Thread(target=run, name="collector", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nothing more is collected on purpose."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()


def _collect(process: Process) -> None:
    """All that is garbage now; comes back when it is done."""
    door = http.client.HTTPConnection("127.0.0.1", process.door, timeout=_PATIENCE_SECONDS)
    try:
        # The profile of the heap is made after a collection; nobody wants the profile.
        door.request("GET", "/debug/pprof/heap?gc=1")
        answer = door.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            say(f"k6 {process.number + 1} did not collect its garbage: {answer.status}")
    except (OSError, http.client.HTTPException) as error:
        say(f"k6 {process.number + 1} did not collect its garbage: {error!r}")
    finally:
        door.close()
