"""The rate of the open-loop load: one that every peer can bear."""

from harness.figures import Run, values
from harness.room import FRAMES_PER_WRITE
from harness.servers import ALL_PEER_KEYS

SHARE = 0.5


def best_rate(run: Run, key: str) -> float | None:
    """The most deliveries a second of one server, at whatever number of frames a write."""
    found = [
        rate
        for frames in FRAMES_PER_WRITE
        for rate in values([run], "room", key, f"deliver_{frames}", "per_second")
    ]
    return max(found, default=None)


def shared_rate(run: Run) -> float | None:
    """Half of the weakest peer's best rate; of the weakest server's where no peer was measured."""
    peers = [key for key in ALL_PEER_KEYS if key in run["room"]] or list(run["room"])
    rates = [rate for key in peers if (rate := best_rate(run, key)) is not None]
    return min(rates) * SHARE if rates else None
