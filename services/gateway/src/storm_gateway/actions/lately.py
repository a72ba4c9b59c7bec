"""What was used lately: remembered while it is used, let go when it is not."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lately(Generic[K, V]):
    """At most ``size`` entries; one that nobody asks for is gone after two turns.

    Two dictionaries that take turns: nothing is searched for what is old, and the memory of a
    crowd that has gone is given back as a whole.
    """

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """The entry, which counts as used; None: not remembered."""
        found = self._young.get(key)
        if found is None and self._old:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember."""
        if len(self._young) >= self._half:
            self.turn()
        self._young[key] = value

    def forget(self, key: K) -> None:
        """What is not remembered is no error."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def turn(self) -> None:
        """Some time has passed: what was not used since the last turn is let go."""
        self._old, self._young = self._young, {}

    def clear(self) -> None:
        """Forget everything."""
        self._old, self._young = {}, {}
