"""Passwords are hashed off the loop, within bounds, and tell nobody who exists."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from storm_gateway.actions import passwords as module
from storm_gateway.actions.passwords import Passwords
from storm_gateway.errors import UnavailableError


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(2, memory_kib=64, passes=1, workers=1)
    await made.start()
    yield made
    await made.stop()


async def test_a_password_fits_its_own_hash_only(passwords: Passwords) -> None:
    kept = await passwords.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert await passwords.check(kept, "correct horse")
    assert not await passwords.check(kept, "correct horse ")
    assert await passwords.hash("correct horse") != kept


async def test_nobody_knows_the_password_of_somebody_who_does_not_exist(
    passwords: Passwords,
) -> None:
    assert not await passwords.check(None, "correct horse")


async def test_a_damaged_hash_fits_nothing(passwords: Passwords) -> None:
    assert not await passwords.check("no hash", "correct horse")
    assert not await passwords.check("$argon2id$v=19$m=64,t=1,p=1$AAAA$BBBB", "correct horse")


async def test_the_same_work_is_done_for_an_unknown_user(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []
    fits = passwords._fits

    def count(hashed: str, password: str) -> bool:
        verified.append(hashed)
        return fits(hashed, password)

    monkeypatch.setattr(passwords, "_fits", count)
    kept = await passwords.hash("correct horse")
    await passwords.check(kept, "wrong")
    await passwords.check(None, "wrong")
    assert len(verified) == 2
    # Everything but salt and hash: algorithm, version and costs are the same.
    assert verified[0].rsplit("$", 2)[0] == verified[1].rsplit("$", 2)[0]


async def test_hashing_does_not_hold_up_the_loop(passwords: Passwords) -> None:
    loop = threading.get_ident()
    ran = await passwords._run(threading.get_ident)
    assert ran != loop


async def test_more_than_the_queue_holds_is_unavailable(passwords: Passwords) -> None:
    go = threading.Event()
    running = [asyncio.create_task(passwords._run(go.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError) as full:
        await passwords.hash("one too many")
    assert full.value.retry_after_ms == 1_000
    go.set()
    assert await asyncio.gather(*running) == [True, True, True]
    assert await passwords.hash("room again")


async def test_a_client_that_goes_away_gives_its_place_back(passwords: Passwords) -> None:
    go = threading.Event()
    waiting = [asyncio.create_task(passwords._run(go.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    go.set()
    for _ in range(5):
        assert await passwords.hash("as before")


async def test_other_parameters_ask_for_a_new_hash(passwords: Passwords) -> None:
    kept = await passwords.hash("correct horse")
    assert not passwords.needs_rehash(kept)
    stronger = Passwords(2, memory_kib=128, passes=1)
    assert stronger.needs_rehash(kept)
    await stronger.stop()


async def test_before_the_start_and_after_the_end_it_is_unavailable() -> None:
    passwords = Passwords(2, memory_kib=64, passes=1)
    with pytest.raises(UnavailableError):
        await passwords.check(None, "x")
    await passwords.stop()
    with pytest.raises(UnavailableError):
        await passwords.hash("x")


def test_the_parameters_are_the_recommended_ones() -> None:
    assert (module.MEMORY_KIB, module.PASSES, module.LANES) == (19 * 1024, 2, 1)
