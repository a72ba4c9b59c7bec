"""What people may call themselves and their channels: every text but the messages.

Each function gives the text as it is stored, or raises :class:`InvalidRequestError` that says the
rule.
"""

import re

from storm_gateway.errors import InvalidRequestError

USER_ID_PATTERN = r"^[A-Za-z0-9._@+\-]{1,64}$"
"""For schemas; :func:`user_id` has the whole rule."""
USER_ID_RULE = (
    "A user id is 1 to 64 letters (A-Z, a-z), digits or the signs . _ - @ + and is not only dots."
)
# What a line may not hold, as the inside of a character class: controls, line and paragraph
# separators, and overrides and isolates of the writing direction. The first forge lines in logs
# and terminals, the last make one name look like another.
_FORBIDDEN = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
LINE_PATTERN = rf"^[^{_FORBIDDEN}]*[^{_FORBIDDEN}\s][^{_FORBIDDEN}]*$"
LINE_RULE = "One line with something in it, without control characters."
TOPIC_PATTERN = rf"^[^{_FORBIDDEN}]*$"
EMOJI_PATTERN = rf"^[^{_FORBIDDEN}\s]{{1,32}}$"
DISPLAY_NAME_CHARACTERS = 64
CHANNEL_NAME_CHARACTERS = 80
TOPIC_CHARACTERS = 250
PASSWORD_CHARACTERS = (8, 128)
EMOJI_CHARACTERS = 32

_USER_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9._@+\-]{1,64}\Z")
_FORBIDDEN_CHARACTER = re.compile(rf"[{_FORBIDDEN}\ud800-\udfff]")


def is_user_id(text: str) -> bool:
    """Whether the text may be a user's id. Ids made of dots alone would be paths, not names."""
    return _USER_ID.match(text) is not None


def user_id(text: str) -> str:
    """A user id; nothing is trimmed, because an id is compared exactly."""
    if not is_user_id(text):
        raise InvalidRequestError(USER_ID_RULE)
    return text


def display_name(text: str) -> str:
    return _line(text, "A display name", 1, DISPLAY_NAME_CHARACTERS)


def channel_name(text: str) -> str:
    return _line(text, "A channel name", 1, CHANNEL_NAME_CHARACTERS)


def topic(text: str) -> str:
    return _line(text, "A topic", 0, TOPIC_CHARACTERS)


def emoji(text: str) -> str:
    """An emoji or a short name for one; spaces have no place in it."""
    if any(character.isspace() for character in text):
        raise InvalidRequestError("An emoji holds no spaces.")
    return _line(text, "An emoji", 1, EMOJI_CHARACTERS)


def password(text: str) -> str:
    """Any characters at all: only the length is ruled (contract)."""
    least, most = PASSWORD_CHARACTERS
    if not least <= len(text) <= most:
        raise InvalidRequestError(f"A password has {least} to {most} characters.")
    return text


def _line(text: str, what: str, least: int, most: int) -> str:
    text = text.strip()
    if len(text) < least:
        raise InvalidRequestError(f"{what} must not be blank.")
    if len(text) > most:
        raise InvalidRequestError(f"{what} has at most {most} characters.")
    found = _FORBIDDEN_CHARACTER.search(text)
    if found is not None:
        raise InvalidRequestError(
            f"{what} is one line, without control characters (found U+{ord(found[0]):04X})."
        )
    return text
