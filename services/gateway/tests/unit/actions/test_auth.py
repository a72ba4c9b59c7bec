"""Coming in, staying in, being thrown out; on every node."""

import asyncio
from typing import Any

import jwt
import pytest
from actions_node import PASSWORD, SECRET, Clock, Node

from storm_gateway.actions.actions import Actions
from storm_gateway.actions.passwords import Passwords
from storm_gateway.actions.tokens import Tokens
from storm_gateway.bus.base import CONTROL, ControlEvent
from storm_gateway.bus.memory import MemoryBus
from storm_gateway.config import Config
from storm_gateway.errors import (
    ForbiddenError,
    InvalidRequestError,
    NameTakenError,
    UnauthenticatedError,
    UnavailableError,
)


def foreign(clock: Clock, user_id: str, **more: object) -> str:
    claims = {"sub": user_id, "iat": clock.now, "exp": clock.now + 600, **more}
    return jwt.encode(claims, SECRET, algorithm="HS256")


async def test_a_registered_user_logs_in(node: Node) -> None:
    made = await node.actions.auth.register("alice", PASSWORD, " Alice ")
    assert (made.id, made.display_name) == ("alice", "Alice")
    login = await node.login("alice")
    identity = node.actions.auth.authenticate(login.access_token)
    assert identity.user_id == "alice"
    assert identity.session_id
    assert (login.expires_in, login.refresh_expires_in) == (900, 86_400)
    assert node.actions.auth.is_current(identity)


async def test_a_name_is_given_once(node: Node) -> None:
    await node.make("alice")
    with pytest.raises(NameTakenError):
        await node.make("alice")


async def test_what_breaks_the_rules_is_not_registered(node: Node) -> None:
    for user_id, password, shown in (
        ("a b", PASSWORD, None),
        ("..", PASSWORD, None),
        ("alice", "short", None),
        ("alice", "x" * 129, None),
        ("alice", PASSWORD, " "),
    ):
        with pytest.raises(InvalidRequestError):
            await node.actions.auth.register(user_id, password, shown)


async def test_registration_can_be_closed_for_all_but_administrators(tmp_path: object) -> None:
    node = Node(Config(data_dir=tmp_path, registration_enabled=False, admins="root"))  # type: ignore[arg-type]
    await node.start()
    with pytest.raises(ForbiddenError):
        await node.actions.auth.register("alice", PASSWORD)
    await node.make("root", "bob")
    with pytest.raises(ForbiddenError):
        await node.actions.users.create("bob", "alice", PASSWORD)
    assert (await node.actions.users.create("root", "alice", PASSWORD)).id == "alice"
    await node.stop()


@pytest.mark.parametrize("user_id", ["alice", "nobody", "a b", "", "x" * 1_000])
async def test_a_wrong_password_and_an_unknown_user_get_one_answer(
    node: Node, user_id: str
) -> None:
    await node.make("alice")
    with pytest.raises(UnauthenticatedError) as refused:
        await node.actions.auth.login(user_id, "wrong password")
    assert refused.value.message == "The user id or the password is wrong."


async def test_an_unknown_user_costs_the_same_work(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.make("alice")
    await node.store.users.ensure("without-password")
    asked: list[str | None] = []
    check = Passwords.check

    async def count(self: Passwords, kept: str | None, password: str) -> bool:
        asked.append(kept)
        return await check(self, kept, password)

    monkeypatch.setattr(Passwords, "check", count)
    for user_id in ("alice", "nobody", "without-password", ".."):
        with pytest.raises(UnauthenticatedError):
            await node.actions.auth.login(user_id, "wrong password")
    assert len(asked) == 4
    assert asked[0] is not None
    assert asked[1:] == [None, None, None]


async def test_an_old_hash_is_renewed_at_login_and_ends_no_other_login(
    node: Node, clock: Clock
) -> None:
    await node.make("alice")
    before = await node.login("alice")
    clock.now += 5
    stronger = node.another(clock, memory_kib=128)
    await stronger.start()
    old = await node.store.users.password_hash("alice")
    await stronger.auth.login("alice", PASSWORD)
    new = await node.store.users.password_hash("alice")
    assert old is not None
    assert new is not None
    assert old != new
    assert "m=128" in new
    await stronger.auth.login("alice", PASSWORD)
    assert await node.store.users.password_hash("alice") == new
    node.actions.auth.authenticate(before.access_token)
    await node.actions.auth.refresh(before.refresh_token)
    await stronger.stop()


# --- refresh ---


async def test_a_refresh_gives_new_tokens_of_the_same_login(node: Node, clock: Clock) -> None:
    await node.make("alice")
    first = await node.login("alice")
    clock.now += 100
    second = await node.actions.auth.refresh(first.refresh_token)
    assert second.refresh_token != first.refresh_token
    one = node.actions.auth.authenticate(first.access_token)
    two = node.actions.auth.authenticate(second.access_token)
    assert one.session_id == two.session_id
    assert two.issued_at == one.issued_at + 100
    third = await node.actions.auth.refresh(second.refresh_token)
    assert third.user_id == "alice"


async def test_a_token_used_twice_ends_its_login_everywhere(node: Node, clock: Clock) -> None:
    await node.make("alice")
    first = await node.login("alice")
    other = await node.login("alice")
    second = await node.actions.auth.refresh(first.refresh_token)
    clock.now += 11
    identity = node.actions.auth.authenticate(second.access_token)
    with pytest.raises(UnauthenticatedError):
        await node.actions.auth.refresh(first.refresh_token)
    assert [event.kind for event in node.controls] == ["session_revoked"]
    assert node.controls[0].session_id == identity.session_id
    assert not node.actions.auth.is_current(identity)
    for token in (first.access_token, second.access_token):
        with pytest.raises(UnauthenticatedError, match="revoked"):
            node.actions.auth.authenticate(token)
    with pytest.raises(UnauthenticatedError):
        await node.actions.auth.refresh(second.refresh_token)
    # Another login of the same user is another matter.
    node.actions.auth.authenticate(other.access_token)
    await node.actions.auth.refresh(other.refresh_token)


async def test_two_tabs_that_refresh_at_once_share_one_successor(node: Node, clock: Clock) -> None:
    await node.make("alice")
    first = await node.login("alice")
    one, two = await asyncio.gather(
        node.actions.auth.refresh(first.refresh_token),
        node.actions.auth.refresh(first.refresh_token),
    )
    assert one == two
    clock.now += 9
    assert await node.actions.auth.refresh(first.refresh_token) == one
    assert node.controls == []
    await node.actions.auth.refresh(one.refresh_token)


async def test_two_tabs_that_refresh_at_once_on_two_nodes_share_one_successor(
    node: Node, clock: Clock
) -> None:
    await node.make("alice")
    first = await node.login("alice")
    other = node.another(clock)
    await other.start()
    one, two = await asyncio.gather(
        node.actions.auth.refresh(first.refresh_token), other.auth.refresh(first.refresh_token)
    )
    assert one.refresh_token == two.refresh_token
    assert one.refresh_token != first.refresh_token
    assert node.controls == []
    for login in (one, two):
        assert node.actions.auth.authenticate(login.access_token).user_id == "alice"
    await other.auth.refresh(two.refresh_token)
    clock.now += 11  # the first answer is forgotten, and the successor was used: somebody stole it
    with pytest.raises(UnauthenticatedError):
        await node.actions.auth.refresh(first.refresh_token)
    assert [event.kind for event in node.controls] == ["session_revoked"]
    await other.stop()


async def test_only_the_secret_tells_which_token_follows(node: Node) -> None:
    tokens = Tokens(node.config, "another secret of another server", None)
    await node.make("alice")
    first = await node.login("alice")
    second = await node.actions.auth.refresh(first.refresh_token)
    assert second.refresh_token != tokens.successor(first.refresh_token)
    assert len(second.refresh_token) == len(first.refresh_token) == 43


async def test_a_client_that_leaves_during_a_refresh_does_not_lose_its_login(
    node: Node, clock: Clock
) -> None:
    await node.make("alice")
    first = await node.login("alice")
    leaving = asyncio.create_task(node.actions.auth.refresh(first.refresh_token))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    again = await node.actions.auth.refresh(first.refresh_token)
    clock.now += 20
    await node.actions.auth.refresh(again.refresh_token)


@pytest.mark.parametrize("token", ["", "x", "\x00", "\udcff", "ü" * 100])
async def test_an_unknown_refresh_token_is_refused(node: Node, token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await node.actions.auth.refresh(token)


async def test_an_expired_refresh_token_is_refused(node: Node, clock: Clock) -> None:
    await node.make("alice")
    login = await node.login("alice")
    clock.now += 86_400
    with pytest.raises(UnauthenticatedError):
        await node.actions.auth.refresh(login.refresh_token)


async def test_refresh_and_access_tokens_are_not_each_other(node: Node) -> None:
    await node.make("alice")
    login = await node.login("alice")
    with pytest.raises(UnauthenticatedError):
        node.actions.auth.authenticate(login.refresh_token)
    with pytest.raises(UnauthenticatedError):
        await node.actions.auth.refresh(login.access_token)


async def test_a_refresh_that_the_store_could_not_do_may_be_tried_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.make("alice")
    login = await node.login("alice")

    async def away(*_: object) -> None:
        raise UnavailableError("away")

    with monkeypatch.context() as broken:
        broken.setattr(node.store.tokens, "rotate", away)
        with pytest.raises(UnavailableError):
            await node.actions.auth.refresh(login.refresh_token)
    await node.actions.auth.refresh(login.refresh_token)


async def test_only_so_many_refreshes_are_remembered(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storm_gateway.actions import auth

    monkeypatch.setattr(auth, "DOUBLE_REFRESHES", 2)
    await node.make("alice")
    for _ in range(5):
        login = await node.login("alice")
        await node.actions.auth.refresh(login.refresh_token)
    assert len(node.actions.auth._refreshes) == 2


# --- going out ---


async def test_logging_out_ends_one_login_on_every_node(node: Node, clock: Clock) -> None:
    await node.make("alice")
    login, other = await node.login("alice"), await node.login("alice")
    identity = node.actions.auth.authenticate(login.access_token)
    await node.actions.auth.logout(login.refresh_token)
    assert [(event.kind, event.session_id) for event in node.controls] == [
        ("session_revoked", identity.session_id)
    ]
    with pytest.raises(UnauthenticatedError):
        node.actions.auth.authenticate(login.access_token)
    with pytest.raises(UnauthenticatedError):
        await node.actions.auth.refresh(login.refresh_token)
    node.actions.auth.authenticate(other.access_token)
    # The bus is a hint: a node that starts later learns it from the store.
    late = node.another(clock)
    await late.start()
    with pytest.raises(UnauthenticatedError):
        late.auth.authenticate(login.access_token)
    late.auth.authenticate(other.access_token)
    await late.stop()


async def test_logging_out_right_after_a_refresh_keeps_nothing_alive(node: Node) -> None:
    await node.make("alice")
    login = await node.login("alice")
    second = await node.actions.auth.refresh(login.refresh_token)
    await node.actions.auth.logout(second.refresh_token)
    for token in (login.refresh_token, second.refresh_token):
        with pytest.raises(UnauthenticatedError):
            await node.actions.auth.refresh(token)


async def test_logging_out_by_the_access_token_alone_works(node: Node) -> None:
    await node.make("alice")
    login = await node.login("alice")
    identity = node.actions.auth.authenticate(login.access_token)
    await node.actions.auth.logout(None, identity)
    assert not node.actions.auth.is_current(identity)
    await node.actions.auth.logout("unknown")
    await node.actions.auth.logout(None)
    assert len(node.controls) == 1


async def test_a_new_password_ends_every_login(node: Node, clock: Clock) -> None:
    await node.make("alice")
    logins = [await node.login("alice") for _ in range(3)]
    clock.now += 1
    await node.actions.users.update("alice", password="a new secret")
    assert [(event.kind, event.user_id) for event in node.controls] == [("user_revoked", "alice")]
    for login in logins:
        with pytest.raises(UnauthenticatedError):
            node.actions.auth.authenticate(login.access_token)
        with pytest.raises(UnauthenticatedError):
            await node.actions.auth.refresh(login.refresh_token)
    with pytest.raises(UnauthenticatedError):
        await node.login("alice")
    again = await node.actions.auth.login("alice", "a new secret")
    node.actions.auth.authenticate(again.access_token)


async def test_a_session_begun_in_the_moment_of_the_change_is_good(node: Node) -> None:
    await node.make("alice")
    await node.actions.auth.change_password("alice", "a new secret")
    login = await node.actions.auth.new_session("alice")
    assert node.actions.auth.is_current(node.actions.auth.authenticate(login.access_token))


async def test_all_logins_of_a_user_can_be_ended(node: Node, clock: Clock) -> None:
    await node.make("alice")
    login = await node.login("alice")
    clock.now += 1
    await node.actions.auth.revoke_user("alice")
    with pytest.raises(UnauthenticatedError):
        node.actions.auth.authenticate(login.access_token)
    late = node.another(clock)
    await late.start()
    with pytest.raises(UnauthenticatedError):
        late.auth.authenticate(login.access_token)
    await late.stop()


async def test_a_login_that_a_password_change_overtakes_is_none(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another node, between the look at the old password and the new session."""
    await node.make("alice")
    auth, save = node.actions.auth, node.store.tokens.save

    async def be_late(*arguments: Any) -> bool:
        await auth.change_password("alice", "a new secret")
        return await save(*arguments)

    monkeypatch.setattr(node.store.tokens, "save", be_late)
    with pytest.raises(UnauthenticatedError, match="wrong"):
        await auth.login("alice", PASSWORD)


async def test_a_password_change_voids_tokens_of_a_node_whose_clock_is_ahead(
    node: Node, clock: Clock
) -> None:
    await node.make("alice")
    ahead = Clock()
    ahead.now = clock.now + 30
    other = node.another(ahead)
    await other.start()
    login = await other.auth.login("alice", PASSWORD)
    clock.now += 1
    await node.actions.auth.change_password("alice", "a new secret")
    for actions in (node.actions, other):
        assert await actions.look_for_revocations()
        with pytest.raises(UnauthenticatedError, match="revoked"):
            actions.auth.authenticate(login.access_token)
    await other.stop()


async def test_a_deleted_user_has_no_token_and_never_comes_back(node: Node, clock: Clock) -> None:
    await node.make("alice")
    login = await node.login("alice")
    clock.now += 1
    await node.actions.users.delete("alice")
    with pytest.raises(UnauthenticatedError):
        node.actions.auth.authenticate(login.access_token)
    with pytest.raises(UnauthenticatedError):
        await node.login("alice")
    with pytest.raises(NameTakenError):
        await node.make("alice")


async def test_an_identity_ends_with_its_token(node: Node, clock: Clock) -> None:
    await node.make("alice")
    identity = node.actions.auth.authenticate((await node.login("alice")).access_token)
    clock.now += 900
    assert not node.actions.auth.is_current(identity)


# --- foreign users ---


async def test_a_foreign_token_makes_its_user_once(
    node: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = node.actions.auth.authenticate(foreign(clock, "guest@corp.example"))
    await node.actions.auth.ensure_user(identity)
    assert (await node.actions.users.get("guest@corp.example")).id == "guest@corp.example"

    async def never(_: str) -> None:
        raise AssertionError("asked again")

    with monkeypatch.context() as watched:
        watched.setattr(node.store.users, "ensure", never)
        await node.actions.auth.ensure_user(identity)


async def test_a_deleted_foreign_user_stays_out_with_a_new_token(node: Node, clock: Clock) -> None:
    identity = node.actions.auth.authenticate(foreign(clock, "guest"))
    await node.actions.auth.ensure_user(identity)
    clock.now += 1
    await node.actions.users.delete("guest")
    assert not node.actions.auth.is_current(identity)
    clock.now += 1
    with pytest.raises(UnauthenticatedError, match="revoked"):
        node.actions.auth.authenticate(foreign(clock, "guest"))
    # A node that was started since learned it from the store; one that forgot it asks.
    late = node.another(clock)
    await late.start()
    with pytest.raises(UnauthenticatedError, match="revoked"):
        late.auth.authenticate(foreign(clock, "guest"))
    with pytest.raises(UnauthenticatedError, match="deleted"):
        await late.auth.ensure_user(identity)
    await late.stop()


async def test_only_so_many_foreign_users_are_remembered(
    node: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storm_gateway.actions import auth

    monkeypatch.setattr(auth, "ENSURED", 2)
    actions = node.another(clock)
    await actions.start()
    for number in range(4):
        identity = actions.auth.authenticate(foreign(clock, f"guest-{number}"))
        await actions.auth.ensure_user(identity)
    assert len(actions.auth._ensured) == 2
    actions.auth.trim()
    actions.auth.trim()
    assert len(actions.auth._ensured) == 0
    await actions.stop()


async def test_a_token_of_our_own_makes_no_user(node: Node) -> None:
    await node.make("alice")
    identity = node.actions.auth.authenticate((await node.login("alice")).access_token)
    await node.actions.auth.ensure_user(identity)
    assert len(node.actions.auth._ensured) == 0


# --- tickets and lost events ---


async def test_a_ticket_belongs_to_its_login(node: Node) -> None:
    await node.make("alice")
    login = await node.login("alice")
    identity = node.actions.auth.authenticate(login.access_token)
    ticket, seconds = await node.actions.auth.ticket(identity)
    assert seconds == 60
    unused, _ = await node.actions.auth.ticket(identity)
    with pytest.raises(UnauthenticatedError):
        node.actions.auth.authenticate(ticket)
    assert node.actions.auth.authenticate(ticket, ticket=True).session_id == identity.session_id
    await node.actions.auth.logout(login.refresh_token)
    with pytest.raises(UnauthenticatedError):
        node.actions.auth.authenticate(unused, ticket=True)


async def test_a_node_that_missed_a_revocation_learns_it_when_the_bus_is_back(
    node: Node,
    clock: Clock,
) -> None:
    await node.make("alice")
    login = await node.login("alice")
    deaf = Actions(
        node.config,
        node.store,
        MemoryBus(),
        node.metrics,
        SECRET,
        passwords=Passwords(5, memory_kib=64, passes=1),
        clock=clock,
    )
    await deaf.start()
    await node.actions.auth.logout(login.refresh_token)
    deaf.auth.authenticate(login.access_token)
    await deaf.recover()
    with pytest.raises(UnauthenticatedError):
        deaf.auth.authenticate(login.access_token)
    await deaf.stop()


async def test_revocations_are_forgotten_when_they_do_not_matter_any_more(
    node: Node, clock: Clock
) -> None:
    revoked = node.actions._revoked
    revoked.session("old")
    revoked.user("alice", clock.now)
    clock.now += 961
    revoked.session("new")
    assert list(revoked._sessions) == ["new"]
    revoked.purge()
    assert revoked._users
    clock.now += 31 * 86_400
    revoked.purge()
    assert not revoked._users


async def test_an_older_revocation_does_not_undo_a_newer_one(node: Node, clock: Clock) -> None:
    await node.make("alice")
    identity = node.actions.auth.authenticate((await node.login("alice")).access_token)
    node.bus.publish(CONTROL, ControlEvent("user_revoked", user_id="alice", at=clock.now + 1))
    node.bus.publish(CONTROL, ControlEvent("user_revoked", user_id="alice", at=1))
    assert not node.actions.auth.is_current(identity)


async def test_expired_tokens_are_purged_in_the_background(
    node: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storm_gateway.actions import actions

    monkeypatch.setattr(actions, "PURGE_SECONDS", 0)
    purged = asyncio.Event()
    calls: list[float] = []

    async def purge(now: float) -> int:
        calls.append(now)
        if len(calls) == 1:
            raise UnavailableError("away")
        purged.set()
        return 0

    monkeypatch.setattr(node.store.tokens, "purge", purge)
    other = node.another(clock)
    await other.start()
    await asyncio.wait_for(purged.wait(), 5)
    await other.stop()
