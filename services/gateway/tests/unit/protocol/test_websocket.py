"""RFC 6455 frames: what a reader accepts and refuses, and what the writers write."""

import random
import struct
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame
from websockets.frames import Opcode as PeerOpcode
from websockets.protocol import State
from websockets.uri import parse_uri

from storm_gateway.protocol.websocket import (
    MAX_FRAGMENTS,
    PING_FRAME,
    FrameReader,
    Opcode,
    ProtocolViolation,
    close_frame,
    frame,
    read_close,
    text_frame,
)

LIMIT = 65_536
MASK = b"\x1f\x8b\xc3\x07"

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault of the code."""


def masked(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = MASK
) -> bytes:
    """One client frame, written down from § 5.2 without any code of ours."""
    return head(opcode, len(payload), fin=fin, rsv=rsv, mask=mask) + bytes(
        byte ^ mask[at % 4] for at, byte in enumerate(payload)
    )


def head(
    opcode: int, length: int, *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK
) -> bytes:
    """Only the header; without ``mask`` it is an unmasked one."""
    bit = 0 if mask is None else 0x80
    first = fin << 7 | rsv << 4 | opcode
    if length < 126:
        size = struct.pack("!BB", first, bit | length)
    elif length < 65_536:
        size = struct.pack("!BBH", first, bit | 126, length)
    else:
        size = struct.pack("!BBQ", first, bit | 127, length)
    return size + (mask or b"")


def idle(reader: FrameReader) -> bool:
    """A function, because a type checker takes a property for something that never changes."""
    return reader.idle


def violated(reader: FrameReader) -> ProtocolViolation:
    assert reader.violation is not None
    return reader.violation


# --- what is said is heard ---


@dataclass(frozen=True)
class Script:
    """Bytes of a client, and what a reader must make of them."""

    data: bytes
    expected: list[tuple[int, bytes]]
    cuts: list[int]

    def pieces(self) -> list[bytes]:
        edges = [0, *self.cuts, len(self.data)]
        return [self.data[a:b] for a, b in pairwise(edges)]


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    texts = st.text(max_size=150).map(str.encode)
    blobs = st.binary(max_size=150) | st.integers(18, 10_000).map(lambda n: bytes(range(7)) * n)
    controls = st.tuples(
        st.sampled_from([Opcode.PING, Opcode.PONG, Opcode.CLOSE]), st.binary(max_size=125)
    )
    messages = st.one_of(
        st.tuples(st.just(Opcode.TEXT), texts), st.tuples(st.just(Opcode.BINARY), blobs)
    )
    data = bytearray()
    expected: list[tuple[int, bytes]] = []

    def control() -> None:
        opcode, payload = draw(controls)
        data.extend(masked(opcode, payload, mask=draw(st.binary(min_size=4, max_size=4))))
        expected.append((int(opcode), payload))

    for opcode, payload in draw(st.lists(messages, max_size=5)):
        places = st.integers(0, len(payload))
        edges = [0, *sorted(draw(st.lists(places, max_size=4))), len(payload)]
        parts = [payload[a:b] for a, b in pairwise(edges)]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            mask = draw(st.binary(min_size=4, max_size=4))
            data += masked(opcode if number == 0 else 0, part, fin=last, mask=mask)
            if last:
                expected.append((int(opcode), payload))
            if draw(st.booleans()):
                control()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return Script(bytes(data), expected, cuts)


@patient
@given(scripts())
def test_every_message_comes_out_whatever_the_cuts_and_fragments(script: Script) -> None:
    reader = FrameReader(1 << 20)
    heard = [message for piece in script.pieces() for message in reader.feed(piece)]
    assert heard == script.expected
    assert reader.violation is None
    assert reader.idle


def test_bytes_may_come_one_by_one() -> None:
    text = "naïve 🌩".encode()
    data = (
        masked(Opcode.TEXT, text)
        + masked(Opcode.TEXT, text[:3], fin=False)
        + masked(Opcode.PING, b"now")
        + masked(0, text[3:])
        + masked(Opcode.BINARY, b"\xff" * 300)
        + masked(Opcode.BINARY, b"\x00" * 65_536)
        + masked(Opcode.CLOSE, b"\x03\xe8")
    )
    reader = FrameReader(1 << 20)
    heard = [message for byte in data for message in reader.feed(bytes((byte,)))]
    assert heard == [
        (Opcode.TEXT, text),
        (Opcode.PING, b"now"),
        (Opcode.TEXT, text),
        (Opcode.BINARY, b"\xff" * 300),
        (Opcode.BINARY, b"\x00" * 65_536),
        (Opcode.CLOSE, b"\x03\xe8"),
    ]
    assert reader.idle


def test_a_reader_between_messages_is_idle_and_one_in_the_middle_is_not() -> None:
    reader = FrameReader(LIMIT)
    assert idle(reader)
    whole = masked(Opcode.TEXT, b"hello")
    for cut in range(1, len(whole)):
        assert reader.feed(whole[:cut]) == []
        assert not idle(reader), f"after {cut} bytes"
        assert reader.feed(whole[cut:]) == [(Opcode.TEXT, b"hello")]
        assert idle(reader)
    reader.feed(masked(Opcode.TEXT, b"he", fin=False))
    assert not idle(reader)
    reader.feed(masked(0, b"llo"))
    assert idle(reader)


def test_an_idle_reader_carries_nothing_into_the_next_message() -> None:
    reader = FrameReader(10)
    for _ in range(50):
        reader.feed(masked(Opcode.BINARY, b"12345", fin=False))
        assert reader.feed(masked(0, b"67890")) == [(Opcode.BINARY, b"1234567890")]
        assert reader.idle
    # Binary may hold what is no UTF-8, right after a text that was checked, and the reverse.
    reader.feed(masked(Opcode.TEXT, b"a", fin=False) + masked(0, b"b"))
    assert reader.feed(masked(Opcode.BINARY, b"\xff", fin=False) + masked(0, b"\xfe")) == [
        (Opcode.BINARY, b"\xff\xfe")
    ]
    assert reader.violation is None


def test_fragments_of_an_older_message_do_not_count_for_a_newer_one() -> None:
    reader = FrameReader(LIMIT)
    half = masked(Opcode.BINARY, fin=False) + masked(0, fin=False) * (MAX_FRAGMENTS // 2)
    for _ in range(4):
        assert reader.feed(half + masked(0)) == [(Opcode.BINARY, b"")]
    assert reader.violation is None


# --- limits ---


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head(Opcode.TEXT, LIMIT + 1), id="text over the limit"),
        pytest.param(head(Opcode.BINARY, LIMIT + 1), id="binary over the limit"),
        pytest.param(head(Opcode.TEXT, 2**63 - 1), id="the longest length there is"),
        pytest.param(head(Opcode.BINARY, 2**63 - 1, fin=False), id="a fragment of that length"),
        pytest.param(
            masked(Opcode.BINARY, b"x", fin=False) + head(0, LIMIT), id="two fragments together"
        ),
        pytest.param(
            masked(Opcode.BINARY, b"x" * 65_000, fin=False)
            + masked(0, b"x" * 500, fin=False)
            + masked(Opcode.PING, b"between")
            + head(0, 37),
            id="three fragments together",
        ),
    ],
)
def test_a_message_over_the_limit_is_refused_by_its_header_alone(data: bytes) -> None:
    reader = FrameReader(LIMIT)
    reader.feed(data)
    assert violated(reader).code == 1009


def test_a_message_of_exactly_the_limit_passes_whole_and_in_fragments() -> None:
    reader = FrameReader(LIMIT)
    payload = b"x" * LIMIT
    assert reader.feed(masked(Opcode.TEXT, payload)) == [(Opcode.TEXT, payload)]
    data = masked(Opcode.TEXT, payload[:40_000], fin=False) + masked(0, payload[40_000:])
    assert reader.feed(data) == [(Opcode.TEXT, payload)]
    assert reader.violation is None


def test_a_whole_text_over_the_limit_is_refused_when_all_of_it_is_there() -> None:
    reader = FrameReader(LIMIT)
    assert reader.feed(masked(Opcode.TEXT, b"x" * (LIMIT + 1))) == []
    assert violated(reader).code == 1009


def test_empty_fragments_come_to_an_end() -> None:
    reader = FrameReader(LIMIT)
    data = masked(Opcode.TEXT, fin=False) + masked(0, fin=False) * (MAX_FRAGMENTS - 2)
    assert reader.feed(data) == []
    assert reader.violation is None
    reader.feed(masked(0, fin=False))
    assert violated(reader).code == 1009


# --- violations ---


@pytest.mark.parametrize(
    ("data", "code"),
    [
        *(
            pytest.param(masked(Opcode.TEXT, b"a", rsv=rsv), 1002, id=f"RSV {rsv:03b}")
            for rsv in range(1, 8)
        ),
        pytest.param(masked(Opcode.PING, rsv=4), 1002, id="RSV of a control frame"),
        *(
            pytest.param(masked(opcode, b"a"), 1002, id=f"opcode {opcode}")
            for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ),
        pytest.param(b"\x81\x05hello", 1002, id="unmasked text"),
        pytest.param(head(Opcode.BINARY, 300, mask=None) + b"x" * 9, 1002, id="unmasked, long"),
        pytest.param(b"\x89\x00" + b"\x00" * 4, 1002, id="unmasked ping"),
        *(
            pytest.param(masked(opcode, b"x" * 126), 1002, id=f"control {opcode} of 126 bytes")
            for opcode in (8, 9, 10)
        ),
        pytest.param(head(Opcode.PING, 65_536), 1002, id="ping of 64 KiB"),
        *(
            pytest.param(masked(opcode, b"x", fin=False), 1002, id=f"control {opcode} fragmented")
            for opcode in (8, 9, 10)
        ),
        pytest.param(b"\x81\xfe\x00\x7d" + MASK, 1002, id="16 bits for 125"),
        pytest.param(b"\x82\xfe\x00\x00" + MASK, 1002, id="16 bits for nothing"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 65_535) + MASK, 1002, id="64 bits for 65535"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 2**63) + MASK, 1002, id="highest bit of 64"),
        pytest.param(masked(0, b"x"), 1002, id="stray continuation"),
        pytest.param(masked(0, b"x", fin=False), 1002, id="stray unfinished continuation"),
        pytest.param(
            masked(Opcode.TEXT, b"a") + masked(0, b"x"), 1002, id="continuation of a whole message"
        ),
        pytest.param(
            masked(Opcode.TEXT, b"a", fin=False) + masked(Opcode.TEXT, b"b"),
            1002,
            id="text inside a fragmented message",
        ),
        pytest.param(
            masked(Opcode.TEXT, b"a", fin=False) + masked(Opcode.BINARY, b"b", fin=False),
            1002,
            id="binary inside a fragmented message",
        ),
        pytest.param(masked(Opcode.TEXT, b"\xc0\xaf"), 1007, id="overlong UTF-8"),
        pytest.param(masked(Opcode.TEXT, b"\xed\xa0\x80"), 1007, id="a surrogate"),
        pytest.param(masked(Opcode.TEXT, b"\xf4\x90\x80\x80"), 1007, id="beyond U+10FFFF"),
        pytest.param(masked(Opcode.TEXT, b"ok \xf0\x9f"), 1007, id="UTF-8 cut off at the end"),
        pytest.param(
            masked(Opcode.TEXT, b"\xe2\x82", fin=False) + masked(0),
            1007,
            id="UTF-8 cut off at the end of the last fragment",
        ),
        pytest.param(
            masked(Opcode.TEXT, b"\xe2", fin=False) + masked(0, b"a", fin=False),
            1007,
            id="a character that the next fragment does not finish",
        ),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "byte by byte"])
def test_a_violation_is_found_with_its_code(data: bytes, code: int, at_once: bool) -> None:
    reader = FrameReader(1 << 20)
    for piece in [data] if at_once else [bytes((byte,)) for byte in data]:
        reader.feed(piece)
        if reader.violation is not None:
            break
    assert violated(reader).code == code
    assert violated(reader).reason
    assert not reader.idle


def test_a_character_may_be_spread_over_fragments_and_pieces() -> None:
    character = "🌩".encode()
    data = (
        masked(Opcode.TEXT, character[:1], fin=False)
        + masked(0, character[1:2], fin=False)
        + masked(Opcode.PING, b"\xff")
        + masked(0, character[2:])
    )
    reader = FrameReader(LIMIT)
    heard = reader.feed(data)
    assert heard == [(Opcode.PING, b"\xff"), (Opcode.TEXT, character)]


def test_bad_text_is_refused_in_the_middle_of_its_frame() -> None:
    reader = FrameReader(LIMIT)
    data = masked(Opcode.TEXT, b"fine so far \xff and much more" + b"." * 1_000)
    stop = len(head(Opcode.TEXT, 1_000)) + 13  # with the bad byte, without the rest
    reader.feed(data[: stop - 1])
    assert reader.violation is None
    reader.feed(data[stop - 1 : stop])
    assert violated(reader).code == 1007


def test_messages_before_a_violation_in_the_same_bytes_are_heard() -> None:
    reader = FrameReader(LIMIT)
    data = masked(Opcode.TEXT, b"one") + masked(Opcode.PING, b"two") + masked(3, b"three")
    assert reader.feed(data) == [(Opcode.TEXT, b"one"), (Opcode.PING, b"two")]
    assert violated(reader).code == 1002
    reader = FrameReader(LIMIT)
    data = masked(Opcode.TEXT, b"one") + masked(Opcode.TEXT, b"\xff") + masked(Opcode.TEXT, b"no")
    assert reader.feed(data) == [(Opcode.TEXT, b"one")]
    assert violated(reader).code == 1007


@patient
@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(0, 300))
def test_no_bytes_make_the_reader_raise(pieces: list[bytes], limit: int) -> None:
    reader = FrameReader(limit)
    for piece in pieces:
        heard = reader.feed(piece)
        for opcode, payload in heard:
            assert opcode in (1, 2, 8, 9, 10)
            assert len(payload) <= (limit if opcode < 8 else 125)
        if reader.violation is not None:
            assert reader.violation.code in (1002, 1007, 1009)
            return


@patient
@given(scripts(), st.integers(0), st.integers(0, 255))
def test_one_spoiled_byte_never_makes_the_reader_raise(
    script: Script, place: int, byte: int
) -> None:
    data = bytearray(script.data or b"\x00")
    data[place % len(data)] = byte
    reader = FrameReader(1 << 20)
    reader.feed(bytes(data))
    assert reader.violation is None or reader.violation.code in (1002, 1007, 1009)


# --- what we write, read by somebody else's code ---


def peer() -> ClientProtocol:
    """The client of the library ``websockets``, after its handshake."""
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN, max_size=None)
    assert protocol.state is State.OPEN
    return protocol


def heard_by(protocol: ClientProtocol, data: bytes) -> list[Frame]:
    protocol.receive_data(data)
    assert protocol.parser_exc is None, protocol.parser_exc
    return [event for event in protocol.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_a_strict_peer_reads_frames_of_every_length(opcode: Opcode, length: int) -> None:
    payload = random.Random(length).randbytes(length) if opcode == Opcode.BINARY else b"t" * length
    written = frame(opcode, payload) if opcode == Opcode.BINARY else text_frame(payload)
    (event,) = heard_by(peer(), written)
    assert (event.opcode, bytes(event.data), event.fin) == (PeerOpcode(opcode), payload, True)


@patient
@given(st.text())
def test_a_strict_peer_reads_every_text(text: str) -> None:
    (event,) = heard_by(peer(), text_frame(text.encode()))
    assert bytes(event.data).decode() == text


def test_a_strict_peer_answers_our_ping() -> None:
    protocol = peer()
    (event,) = heard_by(protocol, PING_FRAME)
    assert event.opcode is PeerOpcode.PING
    assert FrameReader(LIMIT).feed(b"".join(protocol.data_to_send())) == [(Opcode.PONG, b"")]


@pytest.mark.parametrize("code", [1000, 1002, 1007, 1009, 1011, 1012, 1013, 4000, 4503])
def test_a_strict_peer_reads_our_close_and_we_read_its_answer(code: int) -> None:
    protocol = peer()
    heard_by(protocol, close_frame(code, "because"))
    assert protocol.close_rcvd == Close(code, "because")
    ((opcode, payload),) = FrameReader(LIMIT).feed(b"".join(protocol.data_to_send()))
    assert opcode == Opcode.CLOSE
    assert read_close(payload) == code


@patient
@given(st.text(max_size=200))
def test_a_close_reason_is_cut_between_characters(reason: str) -> None:
    protocol = peer()
    heard_by(protocol, close_frame(4000, reason))
    assert protocol.close_rcvd is not None
    said = protocol.close_rcvd.reason
    assert reason.startswith(said)
    # Nothing is cut that would have fitted.
    left = reason[len(said) :]
    assert not left or len((said + left[0]).encode()) > 123


def test_a_close_frame_is_never_longer_than_a_control_frame_may_be() -> None:
    assert len(close_frame(1000, "x" * 123)) == 2 + 125
    assert len(close_frame(1000, "x" * 124)) == 2 + 125
    assert len(close_frame(1000, "€" * 41)) == 2 + 125
    assert len(close_frame(1000, "x" + "€" * 41)) == 2 + 2 + 1 + 40 * 3


# --- close frames of the peer ---


def test_a_close_frame_without_a_code_is_1005() -> None:
    assert read_close(b"") == 1005


@pytest.mark.parametrize(
    "code",
    [
        1000,
        1001,
        1002,
        1003,
        1007,
        1008,
        1009,
        1010,
        1011,
        1012,
        1013,
        1014,
        3000,
        3999,
        4000,
        4999,
    ],
)
def test_codes_that_may_be_sent_are_read(code: int) -> None:
    payload = struct.pack("!H", code)
    assert read_close(payload) == code
    assert read_close(payload + "a réason".encode()) == code


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
)
def test_codes_that_must_not_be_sent_are_a_protocol_error(code: int) -> None:
    with pytest.raises(ProtocolViolation) as refused:
        read_close(struct.pack("!H", code))
    assert refused.value.code == 1002


def test_half_a_close_code_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolViolation) as refused:
        read_close(b"\x03")
    assert refused.value.code == 1002


def test_a_close_reason_that_is_no_text_is_invalid_data() -> None:
    with pytest.raises(ProtocolViolation) as refused:
        read_close(b"\x03\xe8\xce\xba\xe1")
    assert refused.value.code == 1007
