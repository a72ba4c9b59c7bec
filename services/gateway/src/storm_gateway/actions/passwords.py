"""Passwords are hashed with Argon2id, on threads of their own."""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storm_gateway.errors import UnavailableError

T = TypeVar("T")

# OWASP's first choice for Argon2id (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane.
MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
WORKERS = min(2, os.cpu_count() or 1)


class Passwords:
    """Hashes and checks off the event loop; more than ``queue`` waiting is a 503, not a pile.

    A hash takes about 25 ms of a core and 19 MiB, so both threads and queue are bounded.
    """

    def __init__(
        self,
        queue: int,
        *,
        memory_kib: int = MEMORY_KIB,
        passes: int = PASSES,
        workers: int = WORKERS,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=LANES)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._places = BoundedSemaphore(workers + queue)
        self._nobody: str | None = None

    async def start(self) -> None:
        """Make the hash that unknown users are checked against."""
        self._nobody = await self.hash(secrets.token_urlsafe(32))

    async def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def check(self, kept: str | None, password: str) -> bool:
        """Whether the password fits.

        Without a kept hash (no such user, no password) the same work is done on another hash, so
        that the time of the answer does not tell who exists.
        """
        hashed = kept if kept is not None else self._nobody
        if hashed is None:
            raise UnavailableError("Logging in is not ready yet.", retry_after_ms=1_000)
        fits = await self._run(lambda: self._fits(hashed, password))
        return fits and kept is not None

    def needs_rehash(self, kept: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def _fits(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise UnavailableError("Too many logins at once.", retry_after_ms=1_000)
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._places.release()
            raise UnavailableError("The node is stopping.", retry_after_ms=1_000) from None
        # Given back when the work is done or dropped, not when the client stops waiting for it.
        future.add_done_callback(self._give_back)
        return await asyncio.wrap_future(future)

    def _give_back(self, _: Future[T]) -> None:
        self._places.release()
