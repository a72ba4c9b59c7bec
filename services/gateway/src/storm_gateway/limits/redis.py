"""Limits of many nodes together, on Valkey or Redis (decision 0014)."""

import asyncio
import contextlib
import hashlib
import logging
import random
import re
from time import monotonic

from storm_gateway.config import Config
from storm_gateway.limits.base import Entrant, Refusal
from storm_gateway.limits.local import LocalLimits
from storm_gateway.limits.scripts import APPLY, BEGIN, END, TAKE
from storm_gateway.observability.metrics import Metrics
from storm_gateway.redis_link import LinkError, RedisLink

log = logging.getLogger("storm.limits")

_GATHER_SECONDS = 0.1
"""How long connections are gathered before Valkey is asked about them."""
_BATCH = 1_000
_NEW = 20_000
"""New connections that wait for an answer; beyond that the oldest stay as this node let them."""
_ANSWER_SECONDS = 2.0
_TAKE_SECONDS = 0.1
"""What a request to /auth waits for Valkey at most."""
_AWAY_SECONDS = 1.0
"""After it did not answer, one request at most in that time waits for it again."""
_LONGEST_PAUSE = 5.0
_New = tuple[str, Entrant]
"""The digest of its ticket ("-": none), and the connection."""
_REFUSALS: dict[str, Refusal] = {"n": "too_many", "t": "ticket_used"}


class _ForgottenError(Exception):
    """Valkey does not know this life."""


class RedisLimits:
    """Counts over all nodes. One task. What Valkey cannot say, this node decides alone."""

    def __init__(self, config: Config, life: str, metrics: Metrics) -> None:
        """Raises ``ValueError`` when the URL cannot be read."""
        self._link = RedisLink(config.redis_url)
        self._asking = RedisLink(config.redis_url, connections=16)
        self._life = re.sub(r"[^A-Za-z0-9._-]", "_", life)
        self._metrics = metrics
        self._most = config.max_connections_per_user
        self._ticket_milliseconds = config.ticket_seconds * 1000 + 5_000
        self._lease = config.presence_lease_seconds * 1000
        self._refresh = config.presence_refresh_seconds
        self._local = LocalLimits()
        self._open: dict[str, int] = {}  # user → connections here
        self._new: dict[str, list[_New]] = {}  # not answered yet; of each user oldest first
        self._waiting = 0  # of those
        self._changed: dict[str, None] = {}  # users to be written
        self._session = 0
        self._known = False  # whether Valkey holds exactly what is open and not new
        self._failures = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._take_away_until = 0.0
        self._take_failed = False

    # --- life ---

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._known:
                with contextlib.suppress(LinkError):
                    await self._link.run(
                        [(END, (self._life, self._session, self._lease))], _ANSWER_SECONDS
                    )
        await self._link.close()
        await self._asking.close()
        for kept in (self._open, self._new, self._changed):
            kept.clear()

    # --- token buckets ---

    async def take(self, bucket: str, per_second: float, burst: int) -> float:
        now = monotonic()
        if now < self._take_away_until:
            return self._alone(bucket, per_second, burst)
        if self._take_failed:
            # One finds out whether it is back; the others do not wait for that.
            self._take_away_until = now + _AWAY_SECONDS
        one = 1_000_000 / per_second
        try:
            (wait,) = await self._asking.run(
                [(TAKE, (bucket, round(one), round(one * burst)))], _TAKE_SECONDS
            )
        except LinkError:
            self._metrics.limits_errors.inc()
            self._take_failed = True
            self._take_away_until = monotonic() + _AWAY_SECONDS
            return self._alone(bucket, per_second, burst)
        self._take_failed = False
        self._take_away_until = 0.0
        return float(wait) / 1_000_000

    def _alone(self, bucket: str, per_second: float, burst: int) -> float:
        self._metrics.limits_local.inc()
        return self._local.take_now(bucket, per_second, burst)

    # --- connections ---

    def enter(self, user_id: str, ticket_id: str, entrant: Entrant) -> None:
        self._open[user_id] = self._open.get(user_id, 0) + 1
        self._changed[user_id] = None
        ticket = hashlib.sha256(ticket_id.encode()).hexdigest()[:32] if ticket_id else "-"
        self._new.setdefault(user_id, []).append((ticket, entrant))
        self._waiting += 1
        if self._waiting > _NEW:
            forgotten = self._new.pop(next(iter(self._new)))
            self._waiting -= len(forgotten)
            self._metrics.limits_local.inc(len(forgotten))
        self._wake.set()

    def leave(self, user_id: str) -> None:
        left = self._open.get(user_id, 0) - 1
        if left > 0:
            self._open[user_id] = left
        else:
            self._open.pop(user_id, None)
        self._changed[user_id] = None
        self._wake.set()

    def fit(self) -> None:
        self._open, self._new, self._changed = (
            dict(self._open),
            dict(self._new),
            dict(self._changed),
        )

    # --- the task ---

    async def _run(self) -> None:
        while True:
            pause = 0.0
            try:
                await self._talk()
                if self._failures:
                    log.info("limits: Valkey is back")
                self._failures = 0
            except LinkError as error:
                pause = self._failed(error)
            except Exception:  # the task is all there is: whatever it was, it goes on
                log.exception("a round of limits failed")
                self._known = False
                pause = 1.0
            if pause:
                await asyncio.sleep(pause)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._refresh):
                    await self._wake.wait()
            await asyncio.sleep(_GATHER_SECONDS)

    def _failed(self, error: LinkError) -> float:
        if not self._failures:
            log.warning("limits: Valkey %s; this node holds them alone", error)
        self._metrics.limits_errors.inc()
        self._known = False
        self._failures += 1
        # All is written anew when it is back: what has changed until then need not be known.
        self._changed.clear()
        for user_id in list(self._new):
            self._open_new(user_id)
        pause = min(_LONGEST_PAUSE, 0.25 * 2.0 ** min(self._failures, 6))
        return float(pause * random.uniform(0.5, 1))  # noqa: S311 no secret

    async def _talk(self) -> None:
        for _ in range(3):
            try:
                if not self._known:
                    await self._begin()
                await self._write()
            except _ForgottenError:
                self._known = False
            else:
                return
        raise LinkError("forgets what it was told")

    async def _begin(self) -> None:
        self._session += 1
        await self._link.run([(BEGIN, (self._life, self._session, self._lease))], _ANSWER_SECONDS)
        self._changed = dict.fromkeys(self._open)
        self._known = True

    def _open_new(self, user_id: str) -> list[_New]:
        """A user's connections that wait for an answer; those that ended are forgotten."""
        found = self._new.pop(user_id, [])
        left = [new for new in found if new[1].is_open]
        self._waiting -= len(found) - len(left)
        if left:
            self._new[user_id] = left
        return left

    async def _write(self) -> None:
        self._wake.clear()
        changed, self._changed = list(self._changed), {}
        try:
            for start in range(0, len(changed) or 1, _BATCH):
                await self._write_batch(changed[start : start + _BATCH])
        except BaseException:
            self._changed.update(dict.fromkeys(changed))
            raise

    async def _write_batch(self, users: list[str]) -> None:
        """Also with no user: it keeps the lease."""
        asked: list[tuple[str, _New]] = []
        lines = []
        for user_id in users:
            new = self._open_new(user_id)
            asked += [(user_id, one) for one in new]
            settled = max(0, self._open.get(user_id, 0) - len(new))
            lines.append(" ".join([user_id, str(settled), *(ticket for ticket, _ in new)]) + "\n")
        arguments = (
            self._life,
            self._session,
            self._lease,
            self._most,
            self._ticket_milliseconds,
            "".join(lines),
        )
        (said,) = await self._link.run([(APPLY, arguments)], _ANSWER_SECONDS)
        if said is None:
            raise _ForgottenError
        for (user_id, one), letter in zip(asked, said.decode(), strict=True):
            self._answered(user_id, one)
            refusal = _REFUSALS.get(letter)
            if refusal is not None and one[1].is_open:
                self._metrics.limits_refused.labels(refusal).inc()
                one[1].may_not_stay(refusal)

    def _answered(self, user_id: str, one: _New) -> None:
        waiting = self._new.get(user_id)
        if waiting is not None and one in waiting:
            waiting.remove(one)
            self._waiting -= 1
            if not waiting:
                del self._new[user_id]
