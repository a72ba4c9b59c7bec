"""What a supervisor and its nodes say to each other, over a pair of sockets for each node.

One JSON object a line. The node tells its state; the supervisor asks. The end of the stream says
that the other one is gone. Open sockets travel beside the line that tells of them.
"""

import socket
from typing import Literal

import msgspec

_MOST_BYTES = 64 * 1024
_MOST_SOCKETS = 2


class State(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """From a node.

    ``ready``: it delivers. ``unready``: it could serve, but does not deliver yet (``why``); it
    waits for ``serve``. ``refused``: it ends, and would end again (settings). ``failed``: it ends,
    but what it missed may come. ``lent``: its listening sockets come with this line.
    """

    state: Literal["ready", "unready", "refused", "failed", "lent"]
    why: str = ""


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """From the supervisor.

    ``serve``: even though not everything is well. ``lend``: send your listening sockets, for your
    successor. ``leave``: the successor serves; close your listeners and drain.
    """

    wish: Literal["serve", "lend", "leave"]


class Line:
    """One end of the pair. Nothing blocks; what is said is small."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = b""
        self._sockets: list[socket.socket] = []
        end.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def tell(self, what: State | Wish, sockets: list[socket.socket] | None = None) -> bool:
        """False: the other one is gone, or does not listen at all."""
        data = msgspec.json.encode(what) + b"\n"
        try:
            sent = socket.send_fds(self._socket, [data], [s.fileno() for s in sockets or []])
        except OSError:
            return False
        return sent == len(data)

    def read(self) -> list[bytes] | None:
        """The lines that came; None when the other one is gone."""
        try:
            data, numbers, _, _ = socket.recv_fds(self._socket, _MOST_BYTES, _MOST_SOCKETS)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        self._sockets += [socket.socket(fileno=number) for number in numbers]
        if not data or len(self._buffer) > _MOST_BYTES:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return lines

    def take_sockets(self) -> list[socket.socket]:
        """Those that came and were not taken yet."""
        taken, self._sockets = self._sockets, []
        return taken

    def close(self) -> None:
        for received in self.take_sockets():
            received.close()
        self._socket.close()
