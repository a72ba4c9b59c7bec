"""Event streams: ephemeral events from services to whoever listens."""

import re

import msgspec

from storm_gateway.bus.base import Bus, StreamEvent
from storm_gateway.config import Config
from storm_gateway.errors import ForbiddenError, InvalidRequestError, PayloadTooLargeError
from storm_gateway.protocol import events
from storm_gateway.protocol.codec import encode

DEFAULT_SUBJECT = "storm.events"
SUBJECT_CHARACTERS = 255
SUBJECT_RULE = (
    "A subject is made of letters, digits, _ and -, in parts joined by dots, "
    f"at most {SUBJECT_CHARACTERS} characters."
)
SUBJECT_PATTERN = r"^[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*$"
_SUBJECT = re.compile(SUBJECT_PATTERN.replace("$", r"\Z"))


class StreamActions:
    """Publishes to subjects under the configured prefix, never to a channel's."""

    def __init__(self, config: Config, bus: Bus) -> None:
        self._bus = bus
        self._prefix = config.stream_prefix
        self._bytes = config.body_bytes

    def publish(self, subject: str, body: bytes, content_type: str = "") -> None:
        """Everybody on ``/ws?subject=…`` gets the body: as JSON when it says to be, else as text.

        Ephemeral: nothing is stored, nobody hears of it twice.
        """
        self.may_listen(subject)
        if len(body) > self._bytes:
            raise PayloadTooLargeError(f"An event has at most {self._bytes} bytes.")
        event = events.StreamEvent(subject, _payload_of(body, content_type))
        self._bus.publish(subject, StreamEvent(subject, encode(event)))

    def may_listen(self, subject: str) -> None:
        """Raises unless the subject is that of an event stream."""
        if len(subject) > SUBJECT_CHARACTERS or not _SUBJECT.match(subject):
            raise InvalidRequestError(SUBJECT_RULE)
        if not subject.startswith(self._prefix):
            # A channel's own subject would be a way round its members.
            raise ForbiddenError(f"Only subjects under '{self._prefix}' may be used.")


def _payload_of(body: bytes, content_type: str) -> object:
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            # Checked as a whole, passed on as it is: numbers keep every digit.
            msgspec.json.decode(body)
            return msgspec.Raw(body)
        return body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequestError(
            "The body is neither UTF-8 text nor the JSON that it says."
        ) from None
