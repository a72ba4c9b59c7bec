"""Everything that outlives one connection: subscriptions, unacknowledged commands. No I/O.

The shell (``gateway.py``) writes what :meth:`Session.next_command` gives, hands every frame to
:meth:`Session.receive` and does what that returns.
"""

from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from storm_gateway.client.inbound import DURABLE, EPHEMERAL, Durable, Ephemeral, Inbound, Unknown
from storm_gateway.client.resume import ChannelLog, State, Verdict
from storm_gateway.protocol.commands import (
    Command,
    Delete,
    Edit,
    React,
    Read,
    Subscribe,
    Unreact,
    Unsubscribe,
)
from storm_gateway.protocol.events import Ack, ChannelDeleted, Error, Subscribed

RESERVED = "storm:"
"""Refs of the client's own commands begin so."""
RETRIED = frozenset(("rate_limited", "unavailable"))
"""Refusals that end by themselves."""
_OF_ONE_LIFE = (Edit, Delete, React, Unreact, Read)
"""Commands that name a message or a place: after a restored backup it may be another one."""


class Deliver(msgspec.Struct, frozen=True):
    """Give it to the reader of events, then call ``took``; or ``no_room``."""

    event: Durable | Ephemeral | Unknown


class Answer(msgspec.Struct, frozen=True):
    """The command with this ref is done."""

    ref: str
    reply: Ack | Error


class Retry(msgspec.Struct, frozen=True):
    """Call ``again(ref)`` after this time (None: some backoff)."""

    ref: str
    after_ms: int | None


class SubscribeAnswer(msgspec.Struct, frozen=True):
    """A subscribe is done. ``fill``: read history, then call ``filled``."""

    channel_id: int
    reply: Subscribed | Error
    fill: bool = False
    rewound: bool = False
    """What was received of the channel before is of another life of the database."""


Step = Deliver | Answer | Retry | SubscribeAnswer | None


class Session:
    """One user's attachment, over any number of connections."""

    def __init__(self) -> None:
        self.logs: dict[int, ChannelLog] = {}
        self._unacked: dict[str, Command] = {}
        self._to_write: deque[Command] = deque()
        self._open = False
        self.epoch = ""
        """Which life of the database the positions are of: of the last hello that named one."""

    # --- what to write ---

    @property
    def waiting(self) -> bool:
        """Whether an answer of the server is awaited: then reading must go on."""
        return bool(self._unacked) or any(log.state is State.ASKING for log in self.logs.values())

    def opened(self, epoch: str = "") -> list[Answer]:
        """A new connection: first every subscription, then what was not acknowledged, in order.

        ``epoch``: of the hello. Returns the commands that are not sent again, because it is
        another one: an id or a seq that they name may have been given anew.
        """
        self._open = True
        self._to_write.clear()
        refused = self._forget() if self._is_another(epoch) else []
        self.epoch = epoch or self.epoch
        for log in self.logs.values():
            log.ask()
            self._subscribe(log)
        self._to_write.extend(self._unacked.values())
        return refused

    def closed(self) -> None:
        """The connection is gone."""
        self._open = False
        self._to_write.clear()

    def next_command(self) -> Command | None:
        """The next command to write now."""
        while self._to_write:
            command = self._to_write.popleft()
            if command.ref is None or command.ref in self._unacked or self._is_own(command):
                return command
        return None

    def ask(self, command: Command) -> None:
        """Have the command written, on this connection or a later one, until it is answered."""
        if command.ref is None:
            raise ValueError("a command that is to be answered needs a ref")
        if command.ref in self._unacked:
            raise ValueError(f"ref {command.ref!r} is under way already")
        self._unacked[command.ref] = command
        if self._open:
            self._to_write.append(command)

    def tell(self, command: Command) -> None:
        """Have the command written on this connection; forgotten when there is none."""
        if self._open:
            self._to_write.append(command)

    def again(self, ref: str) -> None:
        """Write an unanswered command, or a subscribe, once more."""
        if not self._open:
            return  # the next connection does it anyway
        command = self._unacked.get(ref)
        if command is not None:
            self._to_write.append(command)
            return
        log = self._log_of(ref)
        if log is not None and log.state is State.ASKING:
            self._subscribe(log)

    def forget(self, ref: str) -> None:
        """Nobody waits for the answer any more."""
        self._unacked.pop(ref, None)

    # --- channels ---

    def subscribe(self, channel_id: int, since: int | None, epoch: str = "") -> None:
        """Receive the channel from now on, or everything after ``since``. ``epoch``: of which
        ``since`` is.
        """
        rewound = since is not None and self._is_another(epoch)
        log = ChannelLog(channel_id, None if rewound else since, rewound=rewound)
        self.logs[channel_id] = log
        if self._open:
            self._subscribe(log)

    def unsubscribe(self, channel_id: int) -> None:
        """Stop receiving it."""
        if self.logs.pop(channel_id, None) is not None:
            self.tell(Unsubscribe(channel_id))

    def filled(self, channel_id: int) -> None:
        """The history that was asked for is delivered."""
        log = self.logs.get(channel_id)
        if log is not None and log.state is State.FILLING:
            log.filled()
            if self._open:
                self._subscribe(log)

    def catch_up(self) -> bool:
        """There is room again: ask for what was dropped. Whether there was anything."""
        behind = [log for log in self.logs.values() if log.state is State.BEHIND]
        for log in behind:
            self._ask_anew(log)
        return bool(behind)

    def doubt(self, heads: Mapping[str, int]) -> None:
        """Look for logs that go beyond what the server says to have given, and ask anew.

        ``heads``: of a heartbeat that was read just now. A moment later, what came behind it
        would look like more than the server has.
        """
        for log, head in self._with_heads(heads):
            if log.is_ahead_of(head):
                self._ask_anew(log)

    def compare(self, heads: Mapping[str, int]) -> None:
        """Ask for what lacks up to the heads of a heartbeat that is a moment old: what was under
        way beside it has come by then.
        """
        for log, head in self._with_heads(heads):
            if log.is_short_of(head):
                self._ask_anew(log)

    def _with_heads(self, heads: Mapping[str, int]) -> Iterator[tuple[ChannelLog, int]]:
        for log in self.logs.values():
            head = heads.get(str(log.channel_id))
            if head is not None:
                yield log, head

    # --- what was read ---

    def receive(self, event: Inbound | Unknown) -> Step:
        """Look at one frame of the server."""
        if isinstance(event, (*DURABLE, Unknown)):
            return self._durable(event)
        if isinstance(event, EPHEMERAL):
            return Deliver(event)
        if isinstance(event, Subscribed):
            return self._subscribed(event)
        if isinstance(event, Error):
            return self._error(event)
        if isinstance(event, Ack) and self._unacked.pop(event.ref, None) is not None:
            return Answer(event.ref, event)
        return None

    def took(self, event: Durable | Ephemeral | Unknown) -> None:
        """The event was handed over."""
        if isinstance(event, EPHEMERAL):
            return
        log = self.logs.get(event.channel_id)
        if log is not None:
            log.take(event.seq)
            if isinstance(event, ChannelDeleted):
                del self.logs[event.channel_id]

    def no_room(self, event: Durable | Ephemeral | Unknown) -> None:
        """The event was dropped: a durable one is asked for again by ``catch_up``."""
        if isinstance(event, EPHEMERAL):
            return
        log = self.logs.get(event.channel_id)
        if log is not None:
            log.fall_behind()

    # --- inside ---

    def _durable(self, event: Durable | Unknown) -> Step:
        log = self.logs.get(event.channel_id)
        if log is None:
            return None
        verdict = log.judge(event.seq)
        if verdict is Verdict.TAKE:
            return Deliver(event)
        if verdict is Verdict.MISSED:
            self._ask_anew(log)
        return None

    def _subscribed(self, event: Subscribed) -> Step:
        log = self.logs.get(event.channel_id)
        if log is None or log.state is not State.ASKING:
            return None
        fill = log.subscribed(event.head, event.gap, reset=event.reset)
        rewound, log.rewound = log.rewound, False
        return SubscribeAnswer(event.channel_id, event, fill, rewound)

    def _is_another(self, epoch: str) -> bool:
        return bool(epoch and self.epoch) and epoch != self.epoch

    def _forget(self) -> list[Answer]:
        """The database is another one: begin where each log ends now."""
        for channel_id, log in self.logs.items():
            if log.last is not None:
                # A new one: whoever still reads history for the old one sees that nobody wants it.
                self.logs[channel_id] = ChannelLog(channel_id, rewound=True)
        text = "A backup was restored: what this names may be something else now."
        refused = [
            Answer(ref, Error("conflict", text, ref))
            for ref, command in self._unacked.items()
            if isinstance(command, _OF_ONE_LIFE)
        ]
        for answer in refused:
            del self._unacked[answer.ref]
        return refused

    def _error(self, event: Error) -> Step:
        if event.ref is None:
            return None
        log = self._log_of(event.ref)
        if event.code in RETRIED and (log is not None or event.ref in self._unacked):
            return Retry(event.ref, event.retry_after_ms)
        if log is not None:
            del self.logs[log.channel_id]
            return SubscribeAnswer(log.channel_id, event)
        if self._unacked.pop(event.ref, None) is not None:
            return Answer(event.ref, event)
        return None

    def _ask_anew(self, log: ChannelLog) -> None:
        log.ask()
        if self._open:
            self._subscribe(log)

    def _subscribe(self, log: ChannelLog) -> None:
        if log.state is State.ASKING:
            ref = f"{RESERVED}{log.channel_id}"
            self._to_write.append(Subscribe(log.channel_id, since=log.last, ref=ref))

    def _log_of(self, ref: str) -> ChannelLog | None:
        number = ref.removeprefix(RESERVED)
        if number == ref or not number.isdecimal():
            return None
        return self.logs.get(int(number))

    def _is_own(self, command: Command) -> bool:
        return command.ref is not None and command.ref.startswith(RESERVED)
