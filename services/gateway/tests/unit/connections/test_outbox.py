"""The backlog of a slow client."""

from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.connections.outbox import Outbox


def test_what_waits_comes_out_in_order_and_is_counted() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.add(b"%d" % number * 10, number % 2 == 1)
    assert (outbox.bytes, outbox.ephemeral) == (50, 2)
    assert outbox.take(1_000) == b"0" * 10 + b"1" * 10 + b"2" * 10 + b"3" * 10 + b"4" * 10
    assert (outbox.bytes, outbox.ephemeral) == (0, 0)
    assert outbox.take(1_000) == b""


def test_a_share_is_taken_in_whole_entries() -> None:
    outbox = Outbox()
    for letter in (b"a", b"b", b"c"):
        outbox.add(letter * 10, False)
    assert outbox.take(11) == b"a" * 10 + b"b" * 10
    assert outbox.bytes == 10
    assert outbox.take(1) == b"c" * 10


def test_an_entry_longer_than_the_share_comes_out_whole() -> None:
    outbox = Outbox()
    outbox.add(b"x" * 100, False)
    assert outbox.take(10) == b"x" * 100


def test_only_the_ephemeral_is_dropped_and_the_order_stays() -> None:
    outbox = Outbox()
    for number in range(6):
        outbox.add(b"%d" % number, number % 3 == 0)
    assert outbox.drop_ephemeral() == 2
    assert (outbox.bytes, outbox.ephemeral) == (4, 0)
    assert outbox.drop_ephemeral() == 0
    assert outbox.take(100) == b"1245"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.binary(min_size=1, max_size=9), st.booleans()),
        st.tuples(st.just("drop"), st.just(b""), st.just(True)),
        st.tuples(st.just("take"), st.binary(max_size=20), st.just(True)),
    ),
    max_size=40,
)


@given(STEPS)
def test_counts_and_order_hold_whatever_happens(steps: list[tuple[str, bytes, bool]]) -> None:
    outbox = Outbox()
    model: list[tuple[bytes, bool]] = []
    for step, data, ephemeral in steps:
        if step == "add":
            outbox.add(data, ephemeral)
            model.append((data, ephemeral))
        elif step == "drop":
            assert outbox.drop_ephemeral() == sum(flag for _, flag in model)
            model = [entry for entry in model if not entry[1]]
        else:
            expected = b""
            while model and len(expected) < len(data):
                expected += model.pop(0)[0]
            assert outbox.take(len(data)) == expected
        assert outbox.bytes == sum(len(entry) for entry, _ in model)
        assert outbox.ephemeral == sum(flag for _, flag in model)
