"""The store on a SQL database: SQLite now; the same functions run on any other."""

import asyncio
import time
from collections.abc import Callable

from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store.backend import Backend
from storm_gateway.store.channels import SqlChannels
from storm_gateway.store.database import make_database
from storm_gateway.store.epoch import read_epoch
from storm_gateway.store.group_commit import GroupCommit
from storm_gateway.store.messages import SqlMessages
from storm_gateway.store.reads import Reads
from storm_gateway.store.records import Committed
from storm_gateway.store.tokens import SqlTokens
from storm_gateway.store.transaction import Settings, Transaction
from storm_gateway.store.users import SqlUsers
from storm_gateway.store.write_health import CannotWriteError


class SqlStore:
    """The implementation of ``store.base.Store``.

    Raises ``ValueError``, naming the setting, for a database that is not supported.
    """

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._database = make_database(config)
        settings = Settings(named_members=config.named_members, admin_ids=config.admin_ids)
        self._commits = GroupCommit(
            self._database,
            settings,
            metrics,
            batch=config.commit_batch,
            queue=config.commit_queue,
            wait_seconds=config.commit_milliseconds / 1000,
            timeout_seconds=config.store_timeout_seconds,
        )
        metrics.save_queue_length.set_function(lambda: self._commits.queue_length)
        self._reads = Reads(self._database, config.store_timeout_seconds)
        backend = Backend(self._commits, self._reads, self._database.dialect, settings)
        self.users = SqlUsers(backend)
        self.tokens = SqlTokens(backend, config.access_token_seconds)
        self.channels = SqlChannels(backend)
        self.messages = SqlMessages(backend)

    @property
    def queue_length(self) -> int:
        return self._commits.queue_length

    async def start(self, committed: Callable[[Committed], None]) -> None:
        try:
            await asyncio.to_thread(self._database.open)
        except Exception as error:
            refusal = self._database.failure(error)
            if refusal is None:
                raise
            raise refusal from error
        self._reads.start()
        self._commits.start(committed)

    async def stop(self) -> None:
        await self._commits.stop()
        await self._reads.stop()
        await asyncio.to_thread(self._database.close)

    async def epoch(self) -> str:
        return await self._reads.run(read_epoch)

    async def probe(self, timeout_seconds: float) -> None:
        writes = self._database.writes
        if writes.refusal:
            raise CannotWriteError(writes.refusal)
        began = time.monotonic()
        doubtful = writes.doubtful
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._commits.write(
                    self._try_to_write if doubtful else _answer, may_wait=True, alone=doubtful
                )
                await self._reads.run(lambda connection: None, timeout_seconds)
        except TimeoutError:
            raise UnavailableError("The store does not answer.", retry_after_ms=1000) from None
        except UnavailableError as error:
            if writes.refusal:
                raise CannotWriteError(writes.refusal) from error
            raise
        if doubtful:
            writes.proven(began)

    def _try_to_write(self, tx: Transaction) -> None:
        self._database.try_to_write(tx.connection)


def _answer(tx: Transaction) -> None:
    """The writer lives, has its turn and can begin and commit."""
