"""Bans in a node's memory: told by control events, put right by what the store says."""

from storm_gateway.actions.identity import Identity
from storm_gateway.actions.revocations import Revoked
from storm_gateway.bus.base import ControlEvent
from storm_gateway.store.records import Revocations

NOW = 1_000.0


def store(*banned: str) -> Revocations:
    return Revocations([], {}, [], list(banned))


def make() -> Revoked:
    return Revoked(900, clock=lambda: NOW)


def test_a_ban_holds_for_tokens_of_every_age_until_it_is_lifted() -> None:
    revoked = make()
    later = Identity("bob", "", NOW + 50, NOW + 900, True, "")
    assert not revoked.holds(later)
    revoked.on_control(ControlEvent("user_banned", user_id="bob", at=NOW))
    assert revoked.bans("bob")
    assert revoked.holds(later)
    revoked.on_control(ControlEvent("user_unbanned", user_id="bob", at=NOW))
    assert not revoked.bans("bob")
    assert not revoked.holds(later)
    # What was issued before the ban stays void.
    assert revoked.holds(Identity("bob", "", NOW - 1, NOW + 900, True, ""))


def test_the_store_puts_right_what_no_event_told() -> None:
    revoked = make()
    assert revoked.load(store("bob"), revoked.bans_told)
    assert revoked.bans("bob")
    assert not revoked.load(store("bob"), revoked.bans_told)
    revoked.load(store(), revoked.bans_told)
    assert not revoked.bans("bob")


def test_an_answer_of_the_store_from_before_an_event_undoes_nothing() -> None:
    revoked = make()
    asked = revoked.bans_told
    revoked.on_control(ControlEvent("user_banned", user_id="bob", at=NOW))
    revoked.load(store("carol"), asked)
    assert revoked.bans("bob")
    asked = revoked.bans_told
    revoked.on_control(ControlEvent("user_unbanned", user_id="bob", at=NOW))
    revoked.load(store("bob"), asked)
    assert not revoked.bans("bob")
    revoked.load(store("carol"), revoked.bans_told)
    assert revoked.bans("carol")
