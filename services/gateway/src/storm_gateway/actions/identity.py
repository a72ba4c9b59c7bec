"""Who somebody is, as a token says it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """The holder of a verified token.

    Times are seconds since 1970. ``session_id`` names the login (the family of its refresh
    tokens); it is empty for ``foreign`` tokens, which another back end signed. Whether the user
    is a server administrator is looked up, never read from the token. ``ticket_id``: of a ticket,
    what makes it single; empty for other tokens.
    """

    user_id: str
    session_id: str
    issued_at: float
    expires_at: float
    foreign: bool = False
    ticket_id: str = ""
