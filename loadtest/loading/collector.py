"""k6 collects its garbage while the machine has time for it: before the first message, and after
each spike. Else it does so when its memory is full, which is in the midst of a spike: for seconds
its users hear late what was delivered in time.
"""

import http.client
import re
import threading
import time
from collections.abc import Sequence

from common.progress import say

from loading.fleet import Process
from loading.profile import Profile

_AFTER_SECONDS = 2.0
"""After the last user came, or the spike ended, what was late is there."""
_PATIENCE_SECONDS = 60.0
_FILLING = bytes(4 * 2**20)
"""Of one request."""
_READ_AS = 5.1
"""So many times as much k6 takes to read it, a bit at a time."""
_MARGIN = 96 * 2**20


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
    """Its memory is filled with garbage first, as far as it can be. Go keeps as much as it had in
    use when it collected, and gives the rest back: new pages in place of those would be dear.
    """
    door = http.client.HTTPConnection("127.0.0.1", process.door, timeout=_PATIENCE_SECONDS)
    try:
        used, bound = _heap(door)
        # It reads all of it before it finds that it is no status.
        for _ in range(int(max(0, bound - used - _MARGIN) / (_READ_AS * len(_FILLING)))):
            _ask(door, "PATCH", "/v1/status", _FILLING)
        _ask(door, "GET", "/debug/pprof/heap?gc=1")
    except (OSError, http.client.HTTPException) as error:
        say(f"k6 {process.number + 1} did not collect its garbage: {error!r}")
    finally:
        door.close()


def _heap(door: http.client.HTTPConnection) -> tuple[int, int]:
    """Bytes of its heap, and with how many it will collect by itself."""
    told = _ask(door, "GET", "/debug/pprof/heap?debug=1")
    found = [
        re.search(rb"^# %b = (\d+)$" % name, told, re.MULTILINE)
        for name in (b"HeapAlloc", b"NextGC")
    ]
    if found[0] is None or found[1] is None:
        raise http.client.HTTPException("the profile of its heap does not tell how large it is")
    return int(found[0][1]), int(found[1][1])


def _ask(door: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> bytes:
    door.request(method, path, body)
    answer = door.getresponse()
    told = answer.read()
    if method == "GET" and answer.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"{path} is answered with {answer.status}")
    return told
