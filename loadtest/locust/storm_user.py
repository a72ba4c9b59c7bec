"""One user: connects, follows three channels, says what it is told to, comes back after a loss.

Libraries: Locust runs its users on gevent, so a client that blocks is the natural one, and
websocket-client is that, in pure Python: one greenlet for each user reads, and the user's own
greenlet writes. The `websockets` package would add a thread for each connection, asyncio clients a
second event loop, and Locust's own SocketIOUser speaks another protocol. Whoever wants very many
users takes k6 or the swarm.
"""

import contextlib
import random
import socket
import time
from typing import Any

import gevent
import msgspec
from crowd import Crowd
from gevent.event import Event as Signal
from ledger import Ledger
from locust import User
from locust.env import Environment
from locust.exception import StopUser
from websocket import ABNF, WebSocket, WebSocketBadStatusException, WebSocketException

_FIRST_BACKOFF_SECONDS = 0.5
_LAST_BACKOFF_SECONDS = 30.0
_PATIENCE_SECONDS = 20.0
_SILENCE_SECONDS = 100.0  # above the server's pings and heartbeats
_RETRY_SECONDS = 1.0
_RETRIED = frozenset({"unavailable", "rate_limited", "internal"})
_MOST_WAITING = 1_000
_SLOW_CLOSE = 4001
_BROKEN = (OSError, WebSocketException, gevent.Timeout, msgspec.DecodeError)


class Gap(msgspec.Struct):
    """What is too old to be replayed; only its end is of interest."""

    to: int


class Event(msgspec.Struct):
    """What of an event is looked at."""

    type: str
    channel_id: int = 0
    seq: int = -1
    head: int = -1
    payload: str | None = None
    ref: str | None = None
    user_id: str = ""
    code: str = ""
    retry_after_ms: int | None = None
    after_ms: int = 0
    reset: bool = False
    gap: Gap | None = None
    heads: dict[str, int] = {}


_decode = msgspec.json.Decoder(Event).decode


class StormUser(User):
    """What all behaviours have in common."""

    abstract = True
    crowd: Crowd | None = None
    """Of the test that runs; set when it starts."""
    receive_buffer = 0
    """Bytes that the kernel keeps for the connection; 0: as many as it likes."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._life: gevent.Greenlet | None = None

    def on_start(self) -> None:
        """Come in; a user that does not manage to goes on trying."""
        crowd = StormUser.crowd
        if crowd is None:
            raise StopUser  # the start has said why
        self.shared = crowd
        self.kind = type(self).__name__
        self.number = crowd.number()
        made = crowd.channels
        self.hall = made.hall
        self.room = made.rooms[self.room_of(len(made.rooms))]
        self.small = made.smalls[self.number // 10 % len(made.smalls)]
        self.ledger = Ledger([self.hall, self.room, self.small])
        self.waiting: dict[int, tuple[int, float]] = {}  # number → channel, due
        self.said = 0
        self.socket: WebSocket | None = None
        self.ready = self.came = self.away = self._leaving = False
        self._pending = 0
        self._tries = 0
        self._after = 0.0
        self._forgotten = (-1, -1)
        self._replayed: dict[int, int] | None = None
        self._running = Signal()  # cleared: reads nothing
        self._running.set()
        self._is_in = Signal()
        crowd.users.add(self)
        self._life = gevent.spawn(self._live)
        self._is_in.wait(_PATIENCE_SECONDS)
        self.next_due = time.time() + random.random() * crowd.options.say_every  # noqa: S311

    def on_stop(self) -> None:
        """Leave, after what was said is acked."""
        if self._life is None:
            return
        crowd = self.shared
        with contextlib.suppress(gevent.Timeout), gevent.Timeout(crowd.options.settle):
            while self.waiting and self in crowd.users:
                gevent.sleep(0.05)
        crowd.conclude(self, {})
        self._life.kill()
        self._hang_up()

    # --- what behaviours are made of ---

    def room_of(self, rooms: int) -> int:
        """Which of the rooms is one's own."""
        return self.number % rooms

    def place(self) -> int:
        """The channel of the next message."""
        chance = random.random()  # noqa: S311
        options = self.shared.options
        if chance < options.hall_share:
            return self.hall
        is_room = chance < options.hall_share + options.room_share
        return self.room if is_room else self.small

    def wait_time(self) -> float:
        """Open loop: a message has a moment at which it is due, whether or not the one before it
        was answered, and all times count from it.
        """
        return max(0.0, self.next_due - time.time())

    def speak(self) -> None:
        """Say what is due, and settle when the next one is."""
        due = self.next_due
        every = self.shared.options.say_every
        self.next_due = due + every * (0.5 + random.random())  # noqa: S311
        if not self.shared.talking or self.away:
            return
        if len(self.waiting) >= _MOST_WAITING:
            self.shared.bad("ack", self.kind, "too many messages wait for an answer")
            return
        self.said += 1
        self.waiting[self.said] = (self.place(), due)
        if self.ready:
            self._write(self.said)

    def leave(self, seconds: float) -> None:
        """Go on purpose, and come back after ``seconds``."""
        connection = self.socket
        if connection is None or not self.ready:
            return
        self.away = self._leaving = True
        self.ready = False
        self._after = seconds
        # The server answers with a close frame of its own, which the reader gets.
        with contextlib.suppress(*_BROKEN):
            connection.send_close()

    def freeze(self) -> None:
        """Read nothing until :meth:`thaw`."""
        self._running.clear()

    def thaw(self) -> None:
        """Read again."""
        self._running.set()

    # --- the connection ---

    def _live(self) -> None:
        due = time.time()
        while True:
            self._leaving = False
            try:
                self._open(due)
                code = self._read()
            except _BROKEN as error:
                if not self._leaving:
                    self._tell_loss(error)
            else:
                if not self._leaving and not (self.receive_buffer and code == _SLOW_CLOSE):
                    self.shared.bad("dropped", self.kind, f"closed with {code}")
            self.ready = False
            self._hang_up()
            bound = min(_LAST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2**self._tries)
            self._tries = min(self._tries + 1, 16)
            seconds = self._after or random.random() * bound  # noqa: S311
            self._after = 0.0
            due = time.time() + seconds
            gevent.sleep(seconds)

    def _tell_loss(self, error: BaseException) -> None:
        # The text of an error may hold anything; its kind says enough.
        if isinstance(error, WebSocketBadStatusException):
            why = f"refused with {error.status_code}"
        else:
            why = type(error).__name__
        self.shared.bad("dropped" if self._tries == 0 and self.came else "connect", self.kind, why)

    def _open(self, due: float) -> None:
        scene = self.shared.scene
        # The URL joins the small room at first; the token goes by the header, never by the URL.
        where = scene.websocket + ("" if self.came else f"?channel_id={self.small}")
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        if self.receive_buffer:
            options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer))
        connection = WebSocket(sockopt=options, skip_utf8_validation=True)
        self._replayed = {} if self.away else None
        connection.connect(
            where,
            header=[f"Authorization: Bearer {scene.token(self.number)}"],
            timeout=_PATIENCE_SECONDS,
            redirect_limit=0,
            http_no_proxy=["*"],
        )
        self.socket = connection
        self._due = due
        self._pending = 3
        with gevent.Timeout(_PATIENCE_SECONDS):
            while not self.ready:
                if (code := self._one()) is not None:
                    raise WebSocketException(f"closed with {code}")
        self.away = False
        self._tries = 0
        connection.settimeout(_SILENCE_SECONDS)

    def _read(self) -> int:
        """Until the connection is closed; gives the code."""
        while True:
            self._running.wait()
            if (code := self._one()) is not None:
                return code

    def _one(self) -> int | None:
        """One frame; the code, when it is the last."""
        connection = self.socket
        if connection is None:
            raise WebSocketException("hung up")
        opcode, data = connection.recv_data()
        if opcode == ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
        self._hear(_decode(data))
        return None

    def _hang_up(self) -> None:
        connection, self.socket = self.socket, None
        self.ready = False
        if connection is not None:
            with contextlib.suppress(*_BROKEN):
                connection.close(timeout=1)

    # --- what comes ---

    def _hear(self, event: Event) -> None:
        match event.type:
            case "message":
                self._hear_message(event)
            case "ack":
                self._acknowledge(event)
            case "hello":
                self._hello(event)
            case "subscribed":
                self._subscribed(event)
            case "heartbeat":
                for channel, last in self.ledger.last.items():
                    # Whoever has less asks again.
                    if event.heads.get(str(channel), -1) > last or self.ledger.missing:
                        self._subscribe(channel)
            case "error":
                self._refused(event)
            case "reconnect":
                self._leaving = True
                self._after = max(0.001, event.after_ms / 1000)
            case "read":
                pass
            case _:
                if event.seq >= 0 and event.channel_id in self.ledger.last:
                    self.ledger.take(event.channel_id, event.seq)

    def _hear_message(self, event: Event) -> None:
        crowd = self.shared
        channel, seq = event.channel_id, event.seq
        if crowd.to_skip and self.came and channel == self.small:
            crowd.to_skip -= 1
            self._forgotten = (channel, seq)
        if (channel, seq) == self._forgotten:
            return  # the fault on purpose, and for good: a resume brings it again
        if not self.ledger.take(channel, seq):
            return
        crowd.heard = time.monotonic()
        # What was said while one was away by one's own wish was not to be delivered then.
        if self._replayed is not None and seq <= self._replayed.get(channel, -1):
            return
        # The payload begins with the moment at which it was to be sent.
        sent, _, run = (event.payload or "").partition(" ")
        if sent.isdigit() and run.startswith("locust"):
            crowd.good("delivery", self.kind, time.time() * 1000 - int(sent))

    def _hello(self, event: Event) -> None:
        if event.user_id == self.shared.scene.user(self.number):
            self.shared.good("connect", self.kind, (time.time() - self._due) * 1000)
        else:
            self.shared.bad("connect", self.kind, "greeted as another user")
        self._subscribe(self.hall)
        self._subscribe(self.room)
        if self.came:
            self._subscribe(self.small)  # at first the URL does it

    def _subscribe(self, channel: int) -> None:
        command: dict[str, Any] = {"type": "subscribe", "channel_id": channel}
        if (since := self.ledger.since(channel)) is not None:
            command["since"] = since
        self._send(command)

    def _subscribed(self, event: Event) -> None:
        channel = event.channel_id
        if event.gap is not None:
            self.shared.bad("connect", self.kind, "gap: too old to be replayed")
            self.ledger.excuse(channel, event.gap.to)
        if event.reset:
            self.shared.bad("connect", self.kind, "reset: the server has less than the client")
        self.ledger.begin(channel, event.head)
        if self._replayed is not None:
            self._replayed.setdefault(channel, event.head)
        self._pending -= 1
        if self._pending:
            return
        if self.came:
            self.shared.good("resume", self.kind, (time.time() - self._due) * 1000)
        self.ready = self.came = True
        self._is_in.set()
        # The same `ref` again: what was stored is acked, not stored twice.
        for number in list(self.waiting):
            self._write(number)

    # --- what is said ---

    def _write(self, number: int) -> None:
        channel, due = self.waiting[number]
        self._send(
            {
                "type": "message",
                "channel_id": channel,
                "payload": f"{int(due * 1000)} locust",
                "ref": f"{self.shared.run}-{self.number}-{number}",
            }
        )

    def _send(self, command: dict[str, Any]) -> None:
        connection = self.socket
        if connection is None:
            return
        # The reader notices, and what has no answer is said again.
        with contextlib.suppress(*_BROKEN):
            connection.send(msgspec.json.encode(command))

    def _acknowledge(self, event: Event) -> None:
        entry = self.waiting.pop(self._number_of(event), None)
        if entry is not None:
            self.shared.good("ack", self.kind, (time.time() - entry[1]) * 1000)

    def _refused(self, event: Event) -> None:
        self.shared.bad("ack", self.kind, f"refused: {event.code}")
        number = self._number_of(event)
        if event.code in _RETRIED:
            seconds = (event.retry_after_ms or 0) / 1000 or _RETRY_SECONDS
            gevent.spawn_later(seconds, self._again, number)
        else:
            self.waiting.pop(number, None)

    def _again(self, number: int) -> None:
        if number in self.waiting and self.ready:
            self._write(number)

    def _number_of(self, event: Event) -> int:
        tail = (event.ref or "").rpartition("-")[2]
        return int(tail) if tail.isdigit() else 0
