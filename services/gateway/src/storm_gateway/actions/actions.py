"""Everything that users may do, put together: what both edges call."""

import asyncio
import time
from collections.abc import Callable

import structlog

from storm_gateway.actions.access import AccessCache
from storm_gateway.actions.auth import Auth
from storm_gateway.actions.channels import ChannelActions
from storm_gateway.actions.jwks import Jwks
from storm_gateway.actions.members import MemberActions
from storm_gateway.actions.messages import MessageActions
from storm_gateway.actions.nodes import Nodes
from storm_gateway.actions.passwords import Passwords
from storm_gateway.actions.publisher import Publisher
from storm_gateway.actions.reads import ReadActions
from storm_gateway.actions.revocations import Revoked
from storm_gateway.actions.streams import StreamActions
from storm_gateway.actions.tokens import Tokens
from storm_gateway.actions.users import UserActions
from storm_gateway.bus.base import Bus, ControlEvent
from storm_gateway.config import Config
from storm_gateway.errors import StormError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store.base import Store

PURGE_SECONDS = 3_600
LATELY_SECONDS = 60
"""Tokens and users that nobody used for one to two of these are looked at anew."""
log = structlog.get_logger(__name__)


class Actions:
    """One node's actions.

    ``publisher.committed`` is to be given to ``store.start``; control events of the bus are to be
    given to ``on_control``; ``recover`` is to be called when the bus may have lost some.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        bus: Bus,
        metrics: Metrics,
        secret: str,
        *,
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.time,
        node: str = "",
        life: str = "",
    ) -> None:
        """``node`` and ``life``: this node's name, and the name of this start of it."""
        self._store = store
        self._jwks = (
            None
            if config.jwt_algorithm == "HS256"
            else Jwks(config.jwt_jwks_url, config.jwt_algorithm)
        )
        self._passwords = passwords or Passwords(config.password_hash_queue)
        self._revoked = Revoked(config.access_token_seconds + config.ticket_seconds, clock=clock)
        self._purging: asyncio.Task[None] | None = None
        self._seconds = 0
        self.access = AccessCache(store)
        self.publisher = Publisher(bus, self.access)
        self.auth = Auth(
            config,
            store,
            self.publisher,
            Tokens(config, secret, self._jwks, clock=clock),
            self._passwords,
            self._revoked,
            clock=clock,
        )
        self.users = UserActions(store, self.auth, self.publisher)
        self.channels = ChannelActions(config, store, self.access, self.publisher)
        self.members = MemberActions(store, self.access)
        self.messages = MessageActions(config, store, self.access, self.publisher)
        self.reads = ReadActions(config, store, self.access, self.publisher)
        self.streams = StreamActions(config, bus)
        self.nodes = Nodes(bus, metrics, node, life)

    async def start(self) -> None:
        """Learn what is revoked. The store must run already; subscribes to nothing itself."""
        await self._learn_revocations(self._revoked.since)
        await self._passwords.start()
        if self._jwks is not None:
            await self._jwks.start()
        self._purging = asyncio.create_task(self._purge())

    async def stop(self) -> None:
        """End what runs in the background; the store and the bus still run."""
        if self._purging is not None:
            self._purging.cancel()
            await asyncio.gather(self._purging, return_exceptions=True)
        if self._jwks is not None:
            await self._jwks.stop()
        await self._passwords.stop()

    def on_control(self, event: ControlEvent) -> None:
        """What another node, or this one, tells every node. Idempotent."""
        self.access.on_control(event)
        self.auth.on_control(event)

    def trim(self) -> None:
        """Let go of what was remembered and nobody used for a while; to be called each second."""
        self.access.trim()
        self._seconds += 1
        if self._seconds % LATELY_SECONDS == 0:
            self.auth.trim()

    async def recover(self) -> None:
        """Control events may have been lost: ask the store what they would have told."""
        self.access.clear()
        self.auth.reset()
        await self._learn_revocations(self._revoked.since)

    async def look_for_revocations(self) -> bool:
        """Learn what was revoked lately without a word to the nodes, as ``storm user passwd``
        does, and who is banned now. Says whether there was any.
        """
        return await self._learn_revocations(self._revoked.lately)

    async def _learn_revocations(self, since: float) -> bool:
        told = self._revoked.bans_told
        return self._revoked.load(await self._store.tokens.revocations(since), told)

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            self._revoked.purge()
            try:
                await self._store.tokens.purge(time.time())
            except StormError as error:
                log.warning("expired tokens not purged", error=error.message)
