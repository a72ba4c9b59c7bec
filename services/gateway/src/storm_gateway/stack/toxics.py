"""What a bad network does to one direction of a connection."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Toxics:
    """What is wrong with one direction. The default is a good network."""

    latency_seconds: float = 0.0
    """Everything arrives so much later; throughput stays."""
    jitter_seconds: float = 0.0
    """Up to so much more or less, by chance; the order stays."""
    stalled: bool = False
    """Nothing passes, nothing breaks. What was held back passes afterwards."""
    slice_bytes: int = 0
    """Written in pieces of this size; 0: as it came."""
    slice_seconds: float = 0.0
    """Pause between pieces."""
    bytes_per_second: float = 0.0
    """0: no limit."""
    limit_bytes: int = 0
    """After so many bytes the connection is reset, in the middle of whatever it was; 0: never."""
    slow_close_seconds: float = 0.0
    """The end of a connection arrives so much later."""


GOOD = Toxics()
