"""The channels that the users are in: a hall, rooms, small rooms. Made once, found by name."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
from common.progress import say
from common.rest import Rest

from loading.profile import Profile

_PATIENCE_SECONDS = 600.0
_TELL_SECONDS = 5.0
_HEADS_SECONDS = 120.0
_MAKERS = 16
"""Channels that are made at the same time: their commits are shared."""


@dataclass(frozen=True)
class Channels:
    """Their ids."""

    hall: int
    rooms: list[int]
    smalls: list[int]

    def of(self, user: int, small_size: int) -> tuple[int, int, int]:
        """Those that the user with this number is in."""
        return self.hall, self.rooms[user % len(self.rooms)], self.smalls[user // small_size]


def prepare(rest: Rest, profile: Profile, scene: str, *, make: bool) -> Channels:
    """Find the channels of the scene, and make those that are missing; or wait until somebody
    else has made them. Raises ``RuntimeError``.
    """
    names = [
        f"{scene}-hall",
        *(f"{scene}-room-{number}" for number in range(profile.rooms)),
        *(f"{scene}-small-{number}" for number in range(profile.smalls)),
    ]
    until = time.monotonic() + _PATIENCE_SECONDS
    found = _found(rest)
    while missing := [name for name in names if name not in found]:
        if make:
            say(f"making {len(missing):,} channels")
            _make(rest, missing, found)
            continue
        if time.monotonic() > until:
            raise RuntimeError(
                f"{len(missing)} channels of the scene {scene!r} are not there; share 1 makes them"
            )
        say(f"waiting for {len(missing):,} channels, which share 1 makes")
        time.sleep(_TELL_SECONDS)
        found = _found(rest)
    ids = [found[name] for name in names]
    return Channels(ids[0], ids[1 : 1 + profile.rooms], ids[1 + profile.rooms :])


def heads(rest: Rest) -> dict[int, int]:
    """The newest seq of every channel, by the store. Tries again for a while: the nodes may be busy
    with the end of all connections, and the one that was asked before may be gone. Raises
    ``RuntimeError``.
    """
    until = time.monotonic() + _HEADS_SECONDS
    while True:
        try:
            return {channel["id"]: channel["head"] for channel in rest.get("/channels")}
        except httpx2.HTTPError as error:
            if time.monotonic() > until:
                raise RuntimeError(f"the store does not tell the heads: {error}") from None
            time.sleep(1)


def _found(rest: Rest) -> dict[str, int]:
    return {channel["name"]: channel["id"] for channel in rest.get("/channels")}


def _make(rest: Rest, missing: list[str], found: dict[str, int]) -> None:
    tell = time.monotonic() + _TELL_SECONDS
    with ThreadPoolExecutor(_MAKERS) as makers:
        try:
            made = makers.map(lambda name: _make_one(rest, name), missing)
            for number, (name, channel) in enumerate(zip(missing, made, strict=True)):
                found[name] = channel
                if time.monotonic() > tell:
                    tell = time.monotonic() + _TELL_SECONDS
                    say(f"made {number + 1:,} of {len(missing):,} channels")
        except BaseException:
            makers.shutdown(cancel_futures=True)
            raise


def _make_one(rest: Rest, name: str) -> int:
    while True:
        try:
            return rest.make_channel(name)
        except httpx2.HTTPStatusError as error:
            # A deployment may pace its users.
            if error.response.status_code != 429:
                raise
            time.sleep(float(error.response.headers.get("retry-after", 1)))
