"""Events as lines for people. Text of others cannot forge a line or drive the terminal."""

import hashlib
import json
from collections import OrderedDict
from datetime import datetime, tzinfo

import msgspec

from storm_gateway.client.filling import Event
from storm_gateway.client.notices import (
    Backfilled,
    Connected,
    Disconnected,
    Rewound,
    SubscriptionLost,
)
from storm_gateway.observability.text import escape_control
from storm_gateway.protocol.events import (
    ChannelDeleted,
    ChannelUpdated,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    PresenceEvent,
    ReactionAdded,
    ReactionRemoved,
    TypingEvent,
)

REMEMBERED = 1_000
QUOTE = 40
_COLOURS = (31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96)
_LEFT = {"left": "left", "removed": "was removed", "banned": "was banned"}


def as_json(event: Event) -> str:
    """The event as one line of JSON in ASCII: harmless on a terminal, exact in a pipe."""
    return json.dumps(msgspec.to_builtins(event), separators=(",", ":"))


class Lines:
    """Turns events into lines. Remembers the last messages, so that it can say what was edited."""

    def __init__(self, *, colour: bool, zone: tzinfo | None = None) -> None:
        """``zone`` of the times shown; None is the machine's."""
        self._colour = colour
        self._zone = zone
        self._messages: OrderedDict[int, tuple[str, str]] = OrderedDict()

    def line(self, event: Event) -> str | None:
        """One line; None when there is nothing to show."""
        text = self._durable(event) or self._notice(event)
        if text is not None:
            return text
        if isinstance(event, PresenceEvent):
            return self._presence(event)
        return None

    def status(self, event: Event) -> str | None:
        """Something that is only true for some seconds."""
        if isinstance(event, TypingEvent):
            return self._dim(f"{self._safe(event.user_id)} is typing …")
        return None

    # --- kinds ---

    def _durable(self, event: Event) -> str | None:
        match event:
            case MessageEvent():
                return self._message(event)
            case MessageEdited():
                said = self._quote(event.message_id)
                self._remember(event.message_id, event.user_id, event.payload)
                return self._dated(
                    event.sent_at,
                    event.user_id,
                    f"{self._dim(f'edited {said} to')} {self._text(event.payload)}",
                )
            case MessageDeleted():
                said = self._quote(event.message_id)
                self._messages.pop(event.message_id, None)
                return self._dated(event.sent_at, event.user_id, self._dim(f"deleted {said}"))
            case ReactionAdded() | ReactionRemoved():
                verb = "reacted" if isinstance(event, ReactionAdded) else "took back"
                what = f"{verb} {self._safe(event.emoji)} to {self._quote(event.message_id)}"
                return self._dated(event.sent_at, event.user_id, self._dim(what))
            case MemberJoined():
                by = f", invited by {self._safe(event.by)}" if event.by else ""
                return self._dated(event.sent_at, event.user_id, self._dim(f"joined{by}"))
            case MemberLeft():
                by = f" by {self._safe(event.by)}" if event.by else ""
                what = self._dim(f"{_LEFT.get(event.reason, 'left')}{by}")
                return self._dated(event.sent_at, event.user_id, what)
            case MemberUpdated():
                what = self._dim(f"is now {event.role}, by {self._safe(event.by)}")
                return self._dated(event.sent_at, event.user_id, what)
            case ChannelUpdated():
                what = f"set the channel to #{self._safe(event.name)} ({event.visibility})"
                topic = f", topic: {self._safe(event.topic)}" if event.topic else ""
                return self._dated(event.sent_at, event.by, self._dim(what + topic))
            case ChannelDeleted():
                return self._dated(event.sent_at, event.by, self._dim("deleted the channel"))
            case _:
                return None

    def _message(self, event: MessageEvent) -> str:
        if event.deleted:
            return self._dated(event.sent_at, event.user_id, self._dim("(deleted)"))
        self._remember(event.id, event.user_id, event.payload)
        edited = f" {self._dim('(edited)')}" if event.edited_at else ""
        return self._dated(event.sent_at, event.user_id, self._text(event.payload) + edited)

    def _presence(self, event: PresenceEvent) -> str | None:
        parts = []
        if event.users is not None:
            parts.append("online: " + (", ".join(map(self._safe, event.users)) or "nobody"))
        if event.joined:
            parts.append(", ".join(map(self._safe, event.joined)) + " came online")
        if event.left:
            parts.append(", ".join(map(self._safe, event.left)) + " went offline")
        if not parts and event.joined is None and event.left is None:
            parts.append(f"{event.online} online")
        return self._dim("— " + "; ".join(parts)) if parts else None

    def _notice(self, event: Event) -> str | None:
        match event:
            case Connected(again=True):
                return self._dim("— connected again")
            case Disconnected():
                wait = f"{event.retry_seconds:.1f}"
                reason = self._safe(event.reason)
                return self._dim(f"— disconnected: {reason}; next try in {wait} s")
            case Backfilled():
                return self._dim(f"— {event.first} to {event.last} came from history")
            case Rewound():
                return self._dim(f"— the server's log was set back to {event.head}")
            case SubscriptionLost():
                return self._dim(f"— the channel is gone: {self._safe(event.message)}")
            case _:
                return None

    # --- pieces ---

    def _dated(self, sent_at: str, user_id: str, rest: str) -> str:
        return f"{self._dim(self._time(sent_at))} {self._author(user_id)} {rest}"

    def _time(self, sent_at: str) -> str:
        try:
            at = datetime.fromisoformat(sent_at).astimezone(self._zone)
        except ValueError:
            return "??:??:??"
        today = datetime.now(self._zone).astimezone(self._zone).date()
        return f"{at:%H:%M:%S}" if at.date() == today else f"{at:%Y-%m-%d %H:%M:%S}"

    def _author(self, user_id: str) -> str:
        name = self._safe(user_id)
        if not self._colour:
            return f"<{name}>"
        # The same colour everywhere and always, so that an author is known by it.
        number = hashlib.blake2b(user_id.encode("utf-8", "replace"), digest_size=2).digest()
        return f"\x1b[1;{_COLOURS[number[0] % len(_COLOURS)]}m{name}\x1b[0m"

    def _text(self, payload: str) -> str:
        return self._safe(payload.replace("\r\n", "\n").replace("\n", " ⏎ ").replace("\t", "    "))

    def _safe(self, text: str) -> str:
        return escape_control(text)

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._colour else text

    def _remember(self, message_id: int, user_id: str, payload: str) -> None:
        self._messages[message_id] = (user_id, payload[: QUOTE + 1])
        self._messages.move_to_end(message_id)
        if len(self._messages) > REMEMBERED:
            self._messages.popitem(last=False)

    def _quote(self, message_id: int) -> str:
        found = self._messages.get(message_id)
        if found is None:
            return f"message {message_id}"
        author, payload = found
        text = payload if len(payload) <= QUOTE else payload[:QUOTE] + "…"
        return f"{self._safe(author)}: “{self._text(text)}”"
