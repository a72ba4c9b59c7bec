"""Coming in, staying in, and being thrown out."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from storm_gateway.actions import names
from storm_gateway.actions.identity import Identity
from storm_gateway.actions.lately import Lately
from storm_gateway.actions.passwords import Passwords
from storm_gateway.actions.publisher import Publisher
from storm_gateway.actions.revocations import ALWAYS, Revoked
from storm_gateway.actions.tokens import Tokens
from storm_gateway.bus.base import ControlEvent
from storm_gateway.config import Config
from storm_gateway.errors import (
    BannedError,
    ForbiddenError,
    StormError,
    UnauthenticatedError,
)
from storm_gateway.store.base import Store
from storm_gateway.store.records import BANNED, User

ENSURED = 65_536
DOUBLE_REFRESH_SECONDS = 10.0
"""Two tabs that refresh at once on one node both get the one answer within this time; on two
nodes, or when the answer was lost, they get the one successor (see ``rotate`` of the store)."""
DOUBLE_REFRESHES = 10_000
_WRONG = "The user id or the password is wrong."
_NO_REFRESH = "Log in again: this login has ended."


@dataclass(frozen=True, slots=True)
class Login:
    """What a login or a refresh gives. Times in seconds from now."""

    user_id: str
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class Auth:
    """Identities: made, verified, renewed and revoked."""

    def __init__(
        self,
        config: Config,
        store: Store,
        publisher: Publisher,
        tokens: Tokens,
        passwords: Passwords,
        revoked: Revoked,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._store = store
        self._publisher = publisher
        self._tokens = tokens
        self._passwords = passwords
        self._revoked = revoked
        self._clock = clock
        self._ensured = Lately[str, bool](ENSURED)
        self._refreshes: dict[bytes, tuple[float, asyncio.Task[Login]]] = {}

    # --- who is it? ---

    def authenticate(self, token: str, *, ticket: bool = False) -> Identity:
        """The holder of a token; ``ticket``: a ticket is accepted, once.

        ``UnauthenticatedError``: none, or void. ``BannedError``: good, but of who is banned.
        """
        identity = self._tokens.verify(token, ticket=ticket)
        if self._revoked.bans(identity.user_id):
            raise BannedError(BANNED)
        if self._revoked.holds(identity):
            raise UnauthenticatedError("This token was revoked.")
        return identity

    def is_current(self, identity: Identity) -> bool:
        """Whether the identity still holds: not expired, not revoked."""
        return identity.expires_at > self._clock() and not self._revoked.holds(identity)

    def is_revoked(self, identity: Identity) -> bool:
        """Whether the identity's token was made void; one that merely expired was not."""
        return self._revoked.holds(identity)

    def is_banned(self, user_id: str) -> bool:
        """Whether the user is banned from the server."""
        return self._revoked.bans(user_id)

    async def ensure_user(self, identity: Identity) -> None:
        """Make the user of a foreign token that comes for the first time (contract)."""
        user_id = identity.user_id
        if not identity.foreign or self._ensured.get(user_id):
            return
        await self._store.users.ensure(user_id)
        self._ensured.put(user_id, True)

    def trim(self) -> None:
        """Some time has passed: let go of what nobody needed in it."""
        self._tokens.trim()
        self._ensured.turn()

    def on_control(self, event: ControlEvent) -> None:
        self._revoked.on_control(event)
        if event.kind in ("user_revoked", "user_banned"):
            self._ensured.forget(event.user_id)

    def reset(self) -> None:
        """Events may have been lost: who was deleted must be asked again."""
        self._ensured.clear()

    # --- coming in ---

    async def register(self, user_id: str, password: str, display_name: str | None = None) -> User:
        """A new user with a password."""
        if not self._config.registration_enabled:
            raise ForbiddenError("Registration is closed on this server.")
        return await self.create(user_id, password, display_name)

    async def create(self, user_id: str, password: str, display_name: str | None = None) -> User:
        """As ``register``, for an administrator too while registration is closed."""
        names.user_id(user_id)
        names.password(password)
        shown = names.display_name(user_id if display_name is None else display_name)
        return await self._store.users.create(user_id, shown, await self._passwords.hash(password))

    async def login(self, user_id: str, password: str) -> Login:
        """One answer, after the same work, for an unknown user and a wrong password."""
        # Once more when the hash was changed meanwhile: by a login that renewed it, or for good.
        for _ in range(2):
            kept = None
            if names.is_user_id(user_id):
                kept = await self._store.users.password_hash(user_id)
            if not await self._passwords.check(kept, password) or kept is None:
                break
            login = await self._begin(user_id, kept)
            if login is None:
                continue
            if self._passwords.needs_rehash(kept):
                fresh = await self._passwords.hash(password)
                await self._store.users.rehash(user_id, kept, fresh)
            return login
        raise UnauthenticatedError(_WRONG)

    async def new_session(self, user_id: str) -> Login:
        """A login of a user who has just proved to be it."""
        login = await self._begin(user_id, None)
        assert login is not None  # noqa: S101 no password was asked for
        return login

    async def _begin(self, user_id: str, password_hash: str | None) -> Login | None:
        family = secrets.token_urlsafe(16)
        refresh_token = _new_refresh_token()
        end, hashed = self._refresh_end(), _hash_of(refresh_token)
        if not await self._store.tokens.save(hashed, family, user_id, end, password_hash):
            return None
        return self._login(user_id, family, refresh_token)

    # --- staying in ---

    async def refresh(self, refresh_token: str) -> Login:
        """Swap a refresh token for its successor. A token used twice ends its login."""
        old = _hash_of(refresh_token)
        now = self._clock()
        while self._refreshes:
            oldest = next(iter(self._refreshes))
            at, _ = self._refreshes[oldest]
            if at + DOUBLE_REFRESH_SECONDS > now and len(self._refreshes) < DOUBLE_REFRESHES:
                break
            del self._refreshes[oldest]
        known = self._refreshes.get(old)
        if known is None:
            known = (now, asyncio.create_task(self._rotate(refresh_token)))
            self._refreshes[old] = known
        try:
            # Shielded: another tab may be waiting for the same swap, and it must be finished once
            # it is begun, or its successor is lost.
            login = await asyncio.shield(known[1])
        except StormError:
            self._refreshes.pop(old, None)
            raise
        if self._revoked.holds(self._tokens.verify(login.access_token)):
            raise UnauthenticatedError(_NO_REFRESH)
        return login

    async def ticket(self, identity: Identity) -> tuple[str, int]:
        """A token for the URL of a WebSocket, and its life in seconds."""
        token = self._tokens.make_ticket(identity.user_id, identity.session_id)
        return token, self._config.ticket_seconds

    # --- going out ---

    async def logout(self, refresh_token: str | None, identity: Identity | None = None) -> None:
        """End a login on every node; unknown tokens are no error.

        By its refresh token for good. By an access token alone: its access tokens end at once.
        """
        families = {identity.session_id} if identity is not None and identity.session_id else set()
        if refresh_token:
            family = await self._store.tokens.revoke(_hash_of(refresh_token))
            if family is not None:
                families.add(family)
                self._refreshes.pop(_hash_of(refresh_token), None)
        for family in families:
            self._end_session(family)

    async def revoke_user(self, user_id: str) -> None:
        """End every login of a user on every node."""
        await self._store.tokens.revoke_user(user_id, self._clock())
        self.tell_revoked(user_id)

    def tell_revoked(self, user_id: str, *, deleted: bool = False) -> None:
        """Every token of the user issued until now is void in the store: tell every node.
        ``deleted``: tokens that another back end signs from now on are void too.
        """
        at = ALWAYS if deleted else self._clock()
        event = ControlEvent("user_revoked", user_id=user_id, at=at)
        self.on_control(event)
        self._publisher.control(event)

    def tell_banned(self, user_id: str, banned: bool) -> None:
        """The store has a ban, or its end: tell every node."""
        kind: Literal["user_banned", "user_unbanned"]
        kind = "user_banned" if banned else "user_unbanned"
        event = ControlEvent(kind, user_id=user_id, at=self._clock())
        self.on_control(event)
        self._publisher.control(event)

    async def change_password(self, user_id: str, password: str) -> None:
        """A new password ends every login, this one too."""
        names.password(password)
        hashed = await self._passwords.hash(password)
        await self._store.users.update(user_id, password_hash=hashed)
        self.tell_revoked(user_id)

    # --- parts ---

    async def _rotate(self, refresh_token: str) -> Login:
        # Derived, not random: a second tab that asks another node at once gets the same one.
        successor = self._tokens.successor(refresh_token)
        rotation = await self._store.tokens.rotate(
            _hash_of(refresh_token), _hash_of(successor), self._refresh_end(), self._clock()
        )
        if rotation.outcome in ("rotated", "again"):
            return self._login(rotation.user_id, rotation.family, successor)
        if rotation.outcome == "reused":
            # Either the old or the new one is in the wrong hands: nobody keeps this login.
            self._end_session(rotation.family)
        raise UnauthenticatedError(_NO_REFRESH)

    def _end_session(self, family: str) -> None:
        event = ControlEvent("session_revoked", session_id=family)
        self.on_control(event)
        self._publisher.control(event)

    def _refresh_end(self) -> float:
        return self._clock() + self._config.refresh_token_seconds

    def _login(self, user_id: str, family: str, refresh_token: str) -> Login:
        return Login(
            user_id,
            self._tokens.make_access(user_id, family),
            self._config.access_token_seconds,
            refresh_token,
            self._config.refresh_token_seconds,
        )


def _new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def _hash_of(refresh_token: str) -> bytes:
    """Random enough (256 bit) that a fast hash keeps it."""
    return hashlib.sha256(refresh_token.encode("utf-8", "surrogateescape")).digest()
