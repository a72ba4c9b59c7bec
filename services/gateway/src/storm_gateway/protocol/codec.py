"""JSON text ↔ commands and events. The only place that knows the encoding."""

from collections.abc import Callable
from typing import Any

import msgspec

from storm_gateway.errors import InvalidCommandError
from storm_gateway.protocol.commands import Command

_decode: Callable[[bytes], Command] = msgspec.json.Decoder(Command).decode
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def decode_command(text: bytes) -> Command:
    """Read one command.

    Raises :class:`InvalidCommandError` that says what is wrong and where; never anything else,
    whatever the bytes.
    """
    try:
        return _decode(text)
    except msgspec.ValidationError as error:
        raise InvalidCommandError(f"This command cannot be read: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCommandError(f"This is not a JSON object: {error}") from None


def ref_of(text: bytes) -> str | None:
    """The ``ref`` of a command that could not be read, so that its sender can match the error."""
    try:
        found = msgspec.json.decode(text, type=_OnlyRef)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found.ref if found.ref and len(found.ref) <= 64 else None


class _OnlyRef(msgspec.Struct):
    ref: str | None = None
