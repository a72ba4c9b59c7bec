"""Who may do what in a channel: pure functions of :class:`Access`.

The store calls them inside the transaction of the write they guard (decision 0005), reads call
them with what :class:`AccessCache` knows. Each returns nothing or raises what the user is told:

- a deleted channel, and a private or direct one that the user does not belong to, do not exist;
- who is banned is told so;
- in a public channel everyone else reads, writes and joins;
- moderators and owners invite, remove, ban and delete others' messages, never against an owner,
  and a moderator not against a moderator;
- owners give roles, update and delete the channel;
- a server administrator may do what an owner may in every channel but a direct one;
- a direct channel is its two users: nobody comes, goes, is ranked above or can delete it.
"""

from collections.abc import Callable

from storm_gateway.errors import BannedError, ForbiddenError, NotFoundError
from storm_gateway.store.records import Access

AuthorRule = Callable[[Access, str], None]
"""A rule that also looks at the author of the message at stake."""

RANKS = {None: 0, "banned": 0, "member": 1, "moderator": 2, "owner": 3}


def _rank(access: Access) -> int:
    if access.visibility == "direct":
        return min(RANKS[access.standing], RANKS["member"])
    return RANKS["owner"] if access.admin else RANKS[access.standing]


def may_receive(access: Access) -> None:
    """Read history, subscribe, see the members."""
    if access.deleted:
        raise NotFoundError("There is no such channel.")
    if _rank(access) >= RANKS["member"]:
        return
    if access.standing == "banned":
        raise BannedError("You are banned from this channel.")
    if access.visibility != "public":
        raise NotFoundError("There is no such channel.")


def may_post(access: Access) -> None:
    """Send messages, react, show typing. A public channel asks for no membership."""
    may_receive(access)


def may_join(access: Access) -> None:
    """Come in by oneself."""
    may_receive(access)


def may_leave(access: Access) -> None:
    may_receive(access)
    _not_direct(access, "left")


def may_invite(access: Access) -> None:
    may_receive(access)
    _not_direct(access, "joined by others")
    _at_least(access, "moderator", "Only moderators and owners may invite.")


def may_moderate(access: Access) -> None:
    """See the bans and lift them."""
    may_receive(access)
    _not_direct(access, "moderated")
    _at_least(access, "moderator", "Only moderators and owners may do this.")


def may_remove(access: Access, target: Access) -> None:
    """Remove or ban ``target``."""
    may_moderate(access)
    if target.standing == "owner":
        raise ForbiddenError("An owner cannot be removed or banned; take the role away first.")
    if target.admin and not access.admin:
        raise ForbiddenError("A server administrator cannot be removed or banned.")
    if RANKS[target.standing] >= _rank(access):
        raise ForbiddenError("Only an owner may remove or ban a moderator.")


def may_manage(access: Access) -> None:
    """Rename, describe, open, close and delete the channel."""
    may_receive(access)
    _not_direct(access, "changed or deleted")
    _at_least(access, "owner", "Only an owner may change or delete a channel.")


def may_set_role(access: Access, target: Access) -> None:
    may_receive(access)
    _not_direct(access, "given roles")
    _at_least(access, "owner", "Only an owner may change roles.")
    if target.standing is None or target.standing == "banned":
        raise NotFoundError("This user is not a member of the channel.")


def may_edit(user_id: str) -> AuthorRule:
    """The rule for ``user_id``: only authors edit, and only where they may still write."""

    def rule(access: Access, author: str) -> None:
        may_post(access)
        if author != user_id:
            raise ForbiddenError("Only its author may edit a message.")

    return rule


def may_delete_message(user_id: str) -> AuthorRule:
    """The rule for ``user_id``: authors delete their own, moderators and owners anyone's."""

    def rule(access: Access, author: str) -> None:
        may_post(access)
        if author != user_id and _rank(access) < RANKS["moderator"]:
            raise ForbiddenError("Only its author or a moderator may delete a message.")

    return rule


def _not_direct(access: Access, done: str) -> None:
    if access.visibility == "direct":
        raise ForbiddenError(f"A direct channel cannot be {done}.")


def _at_least(access: Access, role: str, otherwise: str) -> None:
    if _rank(access) < RANKS[role]:
        raise ForbiddenError(otherwise)
