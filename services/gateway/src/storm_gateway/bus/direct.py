"""A NATS client that hands each message over at once, as it comes from the socket.

nats-py gives each subscription a queue and a task, about 4 KB. A node has a subscription for each
channel that somebody listens to: with many small channels that was most of its memory, and a turn
of the event loop for each message. What is handed over here never waits for anything, so nothing
has to be queued: what is behind waits in the socket, and a node that is too slow is cut off by the
server, which it notices.

It overrides one method of nats-py that is not public; the lock file holds its version, and the
tests of the bus run through it.
"""

from collections.abc import Callable

from nats.aio.client import Client
from nats.errors import BadSubjectError, ConnectionClosedError
from nats.protocol import command

OnData = Callable[[bytes], None]
"""Told of a message's bytes. It must not raise: that would end the connection."""


class DirectClient(Client):
    """nats-py's client, with :meth:`listen` beside its own ``subscribe``."""

    def __init__(self) -> None:
        super().__init__()
        self._listening: dict[int, OnData] = {}

    async def listen(self, subject: str, on_data: OnData) -> int:
        """Ask for a subject's messages; returns what :meth:`leave` wants. Raises what nats-py's
        ``subscribe`` raises.
        """
        if subject.split() != [subject]:
            raise BadSubjectError  # a blank or an end of line in it would be another command
        if self.is_closed:
            raise ConnectionClosedError
        self._sid += 1
        sid: int = self._sid
        self._listening[sid] = on_data
        await self._send_command(command.sub_cmd(subject, "", sid))
        await self._flush_pending()
        return sid

    async def leave(self, sid: int) -> None:
        """Nothing more comes from this moment on; the server is told."""
        if self._listening.pop(sid, None) is not None and self.is_connected:
            await self._send_unsubscribe(sid)

    def forget(self) -> None:
        """Hand nothing over any more."""
        self._listening.clear()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        on_data = self._listening.get(sid)
        if on_data is not None:
            on_data(data)
        elif self._subs:
            await super()._process_msg(sid, subject, reply, data, headers)
