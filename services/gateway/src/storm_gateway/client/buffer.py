"""Events between the connection and the program that reads them: bounded."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """A bounded queue of one event loop, whose reader learns of the end."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._moved = asyncio.Event()
        self._ended = False

    @property
    def full(self) -> bool:
        return len(self._items) >= self._size

    @property
    def roomy(self) -> bool:
        """Whether half of it is free."""
        return len(self._items) * 2 <= self._size

    def put(self, item: T) -> None:
        """Add an item; the caller has looked whether it is ``full``."""
        self._items.append(item)
        self._arrived.set()

    async def take(self) -> T | None:
        """The next item; None at the end."""
        while not self._items:
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items.popleft()
        self._moved.set()
        return item

    async def moved(self) -> None:
        """Wait until something was taken, or ``stir`` was called."""
        self._moved.clear()
        await self._moved.wait()

    def stir(self) -> None:
        """Wake those who wait in ``moved``, to look again at what they wait for."""
        self._moved.set()

    def end(self) -> None:
        """Nothing more comes; what is in it can still be taken."""
        self._ended = True
        self._arrived.set()
        self._moved.set()
