"""Limits of one node alone."""

from storm_gateway.limits.base import Entrant
from storm_gateway.limits.buckets import Buckets

_KINDS = 64


class LocalLimits:
    """The embedded default. What one node counts by itself is counted in ``connections``."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[float, int], Buckets] = {}

    async def start(self) -> None:
        """Nothing is shared: nothing to do."""

    async def stop(self) -> None:
        """Nothing is shared: nothing to do."""

    async def take(self, bucket: str, per_second: float, burst: int) -> float:
        return self.take_now(bucket, per_second, burst)

    def take_now(self, bucket: str, per_second: float, burst: int) -> float:
        """The same, at once."""
        kind = (per_second, burst)
        buckets = self._buckets.get(kind)
        if buckets is None:
            assert len(self._buckets) < _KINDS, "rates come from settings"  # noqa: S101
            buckets = self._buckets[kind] = Buckets(per_second, burst)
        return buckets.take(bucket)

    def enter(self, user_id: str, ticket_id: str, entrant: Entrant) -> None:
        """The hub has it already."""

    def leave(self, user_id: str) -> None:
        """The hub has it already."""

    def fit(self) -> None:
        """Nothing is held by connection."""
