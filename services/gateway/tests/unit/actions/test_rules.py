"""Every action by everybody in every kind of channel: the whole table of rights."""

from collections.abc import Callable

import pytest

from storm_gateway.actions import rules
from storm_gateway.errors import BannedError, ForbiddenError, NotFoundError
from storm_gateway.store.records import Access, Standing, Visibility

WHO = ("owner", "moderator", "member", "stranger", "banned", "admin")
YES, NO, BANNED, HIDDEN = None, ForbiddenError, BannedError, NotFoundError


def access(who: str, visibility: Visibility = "public", deleted: bool = False) -> Access:
    standing: Standing | None
    standing = None if who in ("stranger", "admin") else who  # type: ignore[assignment]
    return Access(1, visibility, deleted, standing, who == "admin")


def author_rule(make: Callable[[str], rules.AuthorRule], author: str) -> Callable[[Access], None]:
    return lambda found: make("me")(found, author)


ACTIONS: dict[str, Callable[[Access], None]] = {
    "receive": rules.may_receive,
    "post": rules.may_post,
    "join": rules.may_join,
    "leave": rules.may_leave,
    "invite": rules.may_invite,
    "moderate": rules.may_moderate,
    "manage": rules.may_manage,
    "edit one's own": author_rule(rules.may_edit, "me"),
    "edit another's": author_rule(rules.may_edit, "them"),
    "delete one's own": author_rule(rules.may_delete_message, "me"),
    "delete another's": author_rule(rules.may_delete_message, "them"),
    "remove a member": lambda by: rules.may_remove(by, access("member", by.visibility)),
    "remove a moderator": lambda by: rules.may_remove(by, access("moderator", by.visibility)),
    "remove an owner": lambda by: rules.may_remove(by, access("owner", by.visibility)),
    "ban a stranger": lambda by: rules.may_remove(by, access("stranger", by.visibility)),
    "ban an administrator": lambda by: rules.may_remove(by, access("admin", by.visibility)),
    "give a member a role": lambda by: rules.may_set_role(by, access("member", by.visibility)),
    "take an owner's role": lambda by: rules.may_set_role(by, access("owner", by.visibility)),
    "give a stranger a role": lambda by: rules.may_set_role(by, access("stranger", by.visibility)),
    "give the banned a role": lambda by: rules.may_set_role(by, access("banned", by.visibility)),
}

# In the order of WHO.
PUBLIC = {
    "receive": (YES, YES, YES, YES, BANNED, YES),
    "post": (YES, YES, YES, YES, BANNED, YES),
    "join": (YES, YES, YES, YES, BANNED, YES),
    "leave": (YES, YES, YES, YES, BANNED, YES),
    "invite": (YES, YES, NO, NO, BANNED, YES),
    "moderate": (YES, YES, NO, NO, BANNED, YES),
    "manage": (YES, NO, NO, NO, BANNED, YES),
    "edit one's own": (YES, YES, YES, YES, BANNED, YES),
    "edit another's": (NO, NO, NO, NO, BANNED, NO),
    "delete one's own": (YES, YES, YES, YES, BANNED, YES),
    "delete another's": (YES, YES, NO, NO, BANNED, YES),
    "remove a member": (YES, YES, NO, NO, BANNED, YES),
    "remove a moderator": (YES, NO, NO, NO, BANNED, YES),
    "remove an owner": (NO, NO, NO, NO, BANNED, NO),
    "ban a stranger": (YES, YES, NO, NO, BANNED, YES),
    "ban an administrator": (NO, NO, NO, NO, BANNED, YES),
    "give a member a role": (YES, NO, NO, NO, BANNED, YES),
    "take an owner's role": (YES, NO, NO, NO, BANNED, YES),
    "give a stranger a role": (HIDDEN, NO, NO, NO, BANNED, HIDDEN),
    "give the banned a role": (HIDDEN, NO, NO, NO, BANNED, HIDDEN),
}
# A private channel is the same for its members, and does not exist for strangers.
PRIVATE = {name: (*row[:3], HIDDEN, *row[4:]) for name, row in PUBLIC.items()}
# A direct one knows no ranks: everyone in it is a member, nobody above it is anything.
_TWO = {
    "receive": YES,
    "post": YES,
    "join": YES,
    "edit one's own": YES,
    "delete one's own": YES,
}
DIRECT = {
    name: (*(_TWO.get(name, NO) for _ in range(3)), HIDDEN, BANNED, HIDDEN) for name in PUBLIC
}
TABLE = [
    pytest.param(visibility, name, who, outcome, id=f"{visibility}-{who}-{name}")
    for visibility, rows in (("public", PUBLIC), ("private", PRIVATE), ("direct", DIRECT))
    for name, row in rows.items()
    for who, outcome in zip(WHO, row, strict=True)
]


@pytest.mark.parametrize(("visibility", "name", "who", "outcome"), TABLE)
def test_rights(
    visibility: Visibility, name: str, who: str, outcome: type[Exception] | None
) -> None:
    if outcome is None:
        ACTIONS[name](access(who, visibility))
        return
    with pytest.raises(outcome) as refused:
        ACTIONS[name](access(who, visibility))
    assert refused.type is outcome


def test_the_table_has_every_action() -> None:
    assert PUBLIC.keys() == ACTIONS.keys()
    used = {name for name in vars(rules) if name.startswith("may_")}
    assert used == {
        "may_receive",
        "may_post",
        "may_join",
        "may_leave",
        "may_invite",
        "may_moderate",
        "may_manage",
        "may_edit",
        "may_delete_message",
        "may_remove",
        "may_set_role",
    }


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("who", WHO)
def test_a_deleted_channel_does_not_exist_for_anybody(name: str, who: str) -> None:
    with pytest.raises(NotFoundError):
        ACTIONS[name](access(who, deleted=True))


def test_an_administrator_who_is_a_banned_member_still_administers() -> None:
    rules.may_moderate(Access(1, "public", False, "banned", True))
