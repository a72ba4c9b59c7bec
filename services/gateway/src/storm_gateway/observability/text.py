"""Text that others wrote, made safe to print: it can neither forge a line nor drive a terminal."""

import re

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: line ends, escape sequences, the 8-bit CSI
    "\u200b\u200e\u200f\u061c"  # nothing to see, or a change of direction (joiners stay: emoji)
    "\u2028-\u202e\u2060-\u2069\ufeff"  # line separators; overrides and isolates of direction
    "\ud800-\udfff"  # lone surrogates: cannot be encoded
    "]"
)


def _escape(found: re.Match[str]) -> str:
    number = ord(found.group())
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def escape_control(text: str, keep: str = "") -> str:
    """Write control, direction and separator characters as ``\\x1b``, ``\\u2028`` and so on.

    Characters in ``keep`` stay. A backslash is not doubled: what is shown is for people.
    """
    if not keep:
        return _UNSAFE.sub(_escape, text)
    return _UNSAFE.sub(lambda m: m.group() if m.group() in keep else _escape(m), text)


_MASK = "[removed]"
_REDACTIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A query string, whole: tokens and tickets travel in it.
    (re.compile(r"(?<=[\w/.\-:%\]])\?[^\s\"'<>]*=[^\s\"'<>]*"), "?" + _MASK),
    # Headers, as text or as in a printed dict or list of pairs.
    (
        re.compile(
            r"(?i)\b((?:set-)?cookie|(?:proxy-)?authorization)(\\?['\"]?\s*[:=,]\s*b?\\?['\"]?)"
            r"(?![b'\"\s\\]*\[removed\])[^'\"\r\n]+"
        ),
        r"\1\2" + _MASK,
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?!\[removed\])[\w\-.~+/=]{8,}"), r"\1 " + _MASK),
    (
        re.compile(
            r"(?i)\b(\w*(?:token|ticket|passw(?:or)?d|secret))(\\?['\"]?\s*[=:]\s*b?\\?['\"]?)"
            r"(?![b'\"\s\\]*\[removed\])[^\s'\"&;,)}\]]+"
        ),
        r"\1\2" + _MASK,
    ),
    # A JSON Web Token, wherever it stands.
    (re.compile(r"\beyJ[\w\-]{5,}\.[\w\-]+\.[\w\-]*"), _MASK),
    # Name and password in a URL.
    (re.compile(r"(?<=://)[^\s/@'\"]*:[^\s/@'\"]*@"), _MASK + "@"),
)


def redact(text: str) -> str:
    """Take query strings, tokens, cookies and passwords out: the last defence, not the first."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text
