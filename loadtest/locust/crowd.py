"""What all users of one Locust process share: the scene, what is to happen, how it ends."""

import itertools
import logging
import os
import time
from collections.abc import Callable
from typing import Protocol

import gevent
from ledger import Ledger
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from scene import Scene, SceneError

log = logging.getLogger("storm")

SETTLE, SETTLED = "storm.settle", "storm.settled"
"""What master and workers say to each other at the end of a test."""
_WORKER_SECONDS = 20.0
_USERS_PER_WORKER = 100_000
_QUIET_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_MOST_TOLD = 10_000


class Member(Protocol):
    """A user, as the crowd sees it."""

    kind: str
    came: bool
    ready: bool
    ledger: Ledger
    waiting: dict[int, tuple[int, float]]

    def thaw(self) -> None: ...


class Crowd:
    """One test, from its start to its end."""

    def __init__(self, environment: Environment) -> None:
        """Raises :class:`SceneError` when there is no server to talk to."""
        self.environment = environment
        given = environment.parsed_options
        assert given is not None  # noqa: S101 Locust's command line always gives them
        self.options = given
        secret = os.environ.get("STORM_JWT_SECRET", "")
        if not secret:
            raise SceneError("STORM_JWT_SECRET is missing: the users' tokens are signed with it")
        host = environment.host or ""
        if not host.startswith(("http://", "https://")):
            raise SceneError(f"host {host!r} should begin with http:// or https://")
        self.scene = Scene(host, secret, given.scene)
        self.channels = self.scene.channels(given.rooms, given.small_rooms)
        self.began = time.time()
        self.talking = True
        self.users: set[Member] = set()
        self.heard = 0.0
        """When a durable event came last, by the monotonic clock."""
        self.reports = 0
        """Workers that have settled, as the master hears it."""
        self.unproven = False
        """Whether some of them did not say so in time."""
        self.to_skip = 1 if given.skip_one else 0
        """Messages that somebody forgets on purpose."""
        runner = environment.runner
        worker = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        self._numbers = itertools.count(worker * _USERS_PER_WORKER)
        self.run = f"{int(self.began * 1000):x}-{worker}"

    def number(self) -> int:
        """Of a user that is new: nobody has it twice, whatever process it lives in."""
        return next(self._numbers)

    def good(self, kind: str, name: str, milliseconds: float) -> None:
        """One measured time, for Locust's table."""
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=max(0.0, milliseconds), response_length=0,
            exception=None, context={},
        )  # fmt: skip

    def bad(self, kind: str, name: str, why: str) -> None:
        """One failure, for Locust's table. ``why`` goes to the page: no URL, no token, no number,
        so that the same failures are one row.
        """
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=None, response_length=0,
            exception=RuntimeError(why), context={},
        )  # fmt: skip

    # --- the end ---

    def settle(self) -> None:
        """Nobody speaks any more; wait for what is on its way, and count what never came. Late is
        not lost, within a bound. A second call does nothing.
        """
        if not self.talking:
            return
        self.talking = False
        until = time.monotonic() + self.options.settle
        users = list(self.users)
        for user in users:
            user.thaw()
        self._wait(until, lambda: self._silent(users))
        try:
            heads = self.scene.heads()
        except SceneError as error:
            log.error("%s", error)  # noqa: TRY400 where it came from is no news
            self.bad("lost", "all", "the store does not tell the heads: nothing is proven")
            heads = {}
        self._wait(until, lambda: not any(user.ledger.lost(heads) for user in users if user.came))
        for user in users:
            self.conclude(user, heads)

    def settle_workers(self, runner: MasterRunner) -> None:
        """The master's part: all workers settle before it ends them, and it would not wait."""
        runner.send_message(SETTLE)
        until = time.monotonic() + 2 * self.options.settle + _WORKER_SECONDS
        workers = runner.worker_count
        self._wait(until, lambda: self.reports >= workers)
        self.unproven = self.reports < workers

    def conclude(self, user: Member, heads: dict[int, int]) -> None:
        """Count what one user lacks; once for each."""
        if user not in self.users:
            return
        self.users.discard(user)
        if not user.came:
            self.bad("connect", user.kind, "never came in")
        faults = (
            ("lost", user.ledger.lost(heads), "a seq never came"),
            ("doubled", user.ledger.doubled, "a seq came twice"),
            ("ack", len(user.waiting), "never acked"),
        )
        for kind, count, why in faults:
            for _ in range(min(count, _MOST_TOLD)):
                self.bad(kind, user.kind, why)

    def _silent(self, users: list[Member]) -> bool:
        quiet = time.monotonic() - self.heard > _QUIET_SECONDS
        return quiet and all(user.ready and not user.waiting for user in users if user.came)

    def _wait(self, until: float, done: Callable[[], bool]) -> None:
        while not done() and time.monotonic() < until:
            gevent.sleep(_LOOK_SECONDS)
