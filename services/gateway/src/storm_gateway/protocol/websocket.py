"""RFC 6455 frames without I/O: bytes in, messages out, and bytes for the other side.

A server reads masked frames and writes unmasked ones, so one encoded frame serves every receiver.
"""

import codecs
from enum import IntEnum
from struct import Struct

from storm_gateway.protocol.close_codes import CloseCode

MAX_FRAGMENTS = 16_384
"""Fragments of one message; empty ones would otherwise cost work without ever meeting a limit."""

_UINT16 = Struct("!H")
_UINT64 = Struct("!Q")
_new_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class Opcode(IntEnum):
    """RFC 6455 § 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


# The hot path compares plain integers: an enum member costs a lookup each time.
_CONTINUATION, _TEXT, _BINARY, _CLOSE = 0, 1, 2, 8


class ProtocolViolation(Exception):  # noqa: N818 it is the RFC's word
    """The peer broke the RFC; ``code`` is what the close frame says (§ 7.4.1)."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def _unmask(data: bytes, mask: bytes) -> bytes:
    # § 5.3. One xor of two long integers: for short frames the fastest way that CPython has.
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class FrameReader:
    """Turns the bytes of one connection into messages and control frames.

    ``feed`` returns what is complete; ``violation`` is set when the peer broke the RFC, and then
    the reader takes no more. A reader that is ``idle`` holds no state, so one may serve many
    connections one after another.
    """

    __slots__ = (
        "_decoder",
        "_fin",
        "_fragments",
        "_head",
        "_left",
        "_limit",
        "_mask",
        "_message",
        "_message_opcode",
        "_opcode",
        "_part",
        "violation",
    )

    def __init__(self, limit: int) -> None:
        """``limit``: bytes of one message, all fragments together."""
        self._limit = limit
        self._head = b""  # bytes of a header that is not complete
        self._left = -1  # bytes of the current frame still to come; -1: between frames
        self._part = bytearray()  # of the current frame, when it is a control frame
        self._message = bytearray()
        self._message_opcode = 0  # 0: no message in progress
        self._fragments = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._opcode = 0
        self._fin = False
        self._mask = b""
        self.violation: ProtocolViolation | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is half read."""
        return (
            self._left < 0
            and not self._head
            and not self._message_opcode
            and self.violation is None
        )

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Read; returns (opcode, payload) of complete messages and control frames, in order."""
        out: list[tuple[int, bytes]] = []
        try:
            self._feed(data, out)
        except ProtocolViolation as violation:
            self.violation = violation
        except UnicodeDecodeError:
            self.violation = ProtocolViolation(CloseCode.INVALID_DATA, "text is not UTF-8")
        return out

    def _feed(self, data: bytes, out: list[tuple[int, bytes]]) -> None:
        if self._head:
            data = self._head + data
            self._head = b""
        position = 0
        end = len(data)
        if self._left >= 0:
            position = self._continue_frame(data, 0, out)
        while position < end:
            if end - position < 2:
                break
            first = data[position]
            second = data[position + 1]
            length = second & 0x7F
            start = position + 6
            if length > 125:
                self._check_head(first, second)
                start += 2 if length == 126 else 8
                if start - 4 > end:
                    break
                length = self._long_length(data, position, length)
            if first == 0x81 and second & 0x80 and not self._message_opcode:
                # The usual frame: a whole text message. Everything else takes the long way.
                stop = start + length
                if stop <= end and length <= self._limit:
                    payload = _unmask(data[start:stop], data[start - 4 : start])
                    if not payload.isascii():
                        payload.decode()
                    out.append((_TEXT, payload))
                    position = stop
                    continue
            self._check_head(first, second)
            self._check_frame(first, length)
            if start > end:
                break
            self._mask = data[start - 4 : start]
            self._opcode = first & 0x0F
            self._fin = first >= 0x80
            self._left = length
            position = self._continue_frame(data, start, out)
        if position < end and self._left < 0:
            self._head = data[position:]

    @staticmethod
    def _check_head(first: int, second: int) -> None:
        if first & 0x70:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "reserved bits are set")
        opcode = first & 0x0F
        if opcode > 10 or 3 <= opcode <= 7:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if not second & 0x80:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "client frames must be masked")
        if opcode >= _CLOSE:
            if first < 0x80:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "control frames are one piece")
            if second & 0x7F > 125:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "control frames are short")

    @staticmethod
    def _long_length(data: bytes, position: int, marker: int) -> int:
        if marker == 126:
            length: int = _UINT16.unpack_from(data, position + 2)[0]
            if length < 126:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "length is not minimal")
            return length
        length = _UINT64.unpack_from(data, position + 2)[0]
        if length < 65_536 or length >> 63:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "length is not minimal")
        return length

    def _check_frame(self, first: int, length: int) -> None:
        opcode = first & 0x0F
        if opcode >= _CLOSE:
            return
        if opcode == _CONTINUATION:
            if not self._message_opcode:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "nothing to continue")
        elif self._message_opcode:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "a message is not finished")
        # Refused by its header: the bytes themselves need not come first.
        if len(self._message) + length > self._limit:
            raise ProtocolViolation(
                CloseCode.MESSAGE_TOO_BIG, f"a message may have {self._limit} bytes"
            )

    def _continue_frame(self, data: bytes, position: int, out: list[tuple[int, bytes]]) -> int:
        """Take what there is of the current frame; returns where the next one begins."""
        chunk = data[position : position + self._left]
        position += len(chunk)
        self._left -= len(chunk)
        if chunk:
            chunk, mask = _unmask(chunk, self._mask), self._mask
            turn = len(chunk) % 4
            self._mask = mask[turn:] + mask[:turn]
        done = self._left == 0
        if done:
            self._left = -1
        if self._opcode >= _CLOSE:
            self._part += chunk
            if done:
                payload = bytes(self._part)
                self._part.clear()
                out.append((self._opcode, payload))
        else:
            self._continue_message(chunk, done, out)
        return position

    def _continue_message(self, chunk: bytes, done: bool, out: list[tuple[int, bytes]]) -> None:
        if self._opcode != _CONTINUATION and not self._message_opcode:
            self._message_opcode = self._opcode
            if self._opcode == _TEXT:
                self._decoder = _new_utf8_decoder()
        self._message += chunk
        last = done and self._fin
        if self._decoder is not None:
            self._decoder.decode(chunk, last)
        if not done:
            return
        self._fragments += 1
        if last:
            out.append((self._message_opcode, bytes(self._message)))
            self._message = bytearray()
            self._message_opcode = 0
            self._decoder = None
            self._fragments = 0
        elif self._fragments >= MAX_FRAGMENTS:
            raise ProtocolViolation(CloseCode.MESSAGE_TOO_BIG, "too many fragments")


def frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked, final frame (§ 5.1: a server must not mask)."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65_536:
        return bytes((0x80 | opcode, 126)) + _UINT16.pack(length) + payload
    return bytes((0x80 | opcode, 127)) + _UINT64.pack(length) + payload


def text_frame(payload: bytes) -> bytes:
    """One text frame; ``payload`` is UTF-8 already."""
    return frame(_TEXT, payload)


PING_FRAME = frame(Opcode.PING, b"")


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to the 123 bytes that fit (§ 5.5)."""
    encoded = reason.encode()[:123].decode(errors="ignore").encode()
    return frame(Opcode.CLOSE, _UINT16.pack(code) + encoded)


def read_close(payload: bytes) -> int:
    """The code of a peer's close frame; 1005 when it gave none (§ 7.1.5).

    Raises :class:`ProtocolViolation` for codes that must not be sent and reasons that are not
    UTF-8 (§ 7.4).
    """
    if not payload:
        return 1005
    if len(payload) == 1:
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "a close code has two bytes")
    code: int = _UINT16.unpack_from(payload)[0]
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, f"close code {code} must not be sent")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(CloseCode.INVALID_DATA, "close reason is not UTF-8") from None
    return code
