"""How long things took, from ledgers made by hand."""

import pytest

from storm_gateway.audit.client import Return
from storm_gateway.audit.ledger import Ledger
from storm_gateway.audit.texts import Texts
from storm_gateway.audit.timeline import Fault
from storm_gateway.audit.times import Spread, latencies, per_second, repairs, silence


class Book:
    """A ledger of one sender and one receiver."""

    def __init__(self) -> None:
        self.ledger = Ledger(Texts("t", 40))
        self.ledger.add_sender("s")
        self.seq = 0

    def message(
        self, tried: float, acked: float | None, received: float | None, channel: int = 1
    ) -> None:
        number = self.ledger.attempt(0, channel, tried)
        self.seq += 1
        if acked is not None:
            self.ledger.ack(number, number, self.seq, acked)
        if received is not None:
            self.ledger.receive(0, 1, self.seq, number, number, received)


def test_silence_is_the_longest_time_between_two_acks() -> None:
    book = Book()
    for at in (0.5, 1.0, 4.0, 4.5):
        book.message(at, at, None)
    found = silence(book.ledger, 0.0, 5.0)
    assert (found.seconds, found.begin) == (3.0, 1.0)


def test_silence_counts_from_the_first_send_and_to_the_last() -> None:
    book = Book()
    assert silence(book.ledger, 2.0, 9.0).seconds == 7.0
    book.message(2.0, 3.0, None)
    found = silence(book.ledger, 2.0, 9.0)
    assert (found.seconds, found.begin) == (6.0, 3.0)


def test_silence_of_one_channel_is_not_broken_by_another() -> None:
    book = Book()
    for at in (1.0, 2.0, 3.0):
        book.message(at, at, None, channel=1)
    book.message(1.0, 1.0, None, channel=2)
    assert silence(book.ledger, 0.0, 4.0).seconds == 1.0
    assert silence(book.ledger, 0.0, 4.0, 2).seconds == 3.0


def test_repair_counts_from_the_end_of_the_fault() -> None:
    book = Book()
    book.message(0.5, 0.6, 0.7)  # before: not affected
    book.message(2.0, 2.1, 2.2)  # while it lasted: at once
    book.message(2.5, 2.6, 4.0)  # 1 s after its end
    book.message(2.6, 2.7, 11.0)  # 8 s after its end
    book.message(3.5, 3.6, 9.9)  # acknowledged after its end: not its matter
    (repair,) = repairs(book.ledger, [Fault("x", 1.0, 3.0)], [], 5.0)
    assert repair.late.count == 3
    assert repair.late.most == 8.0
    assert repair.late.p50 == 1.0
    assert repair.share_in_time == pytest.approx(2 / 3)


def test_repair_does_not_count_the_time_of_the_next_fault() -> None:
    book = Book()
    book.message(1.5, 1.6, 7.0)
    first, second = repairs(book.ledger, [Fault("x", 1.0, 2.0), Fault("y", 3.0, 6.0)], [], 5.0)
    assert first.late.most == 2.0
    assert second.late.most == 1.0


def test_a_repeat_does_not_make_a_delivery_late() -> None:
    book = Book()
    book.message(1.5, 1.6, 1.7)
    book.ledger.receive(0, 2, 1, 0, 0, 9.0)
    (repair,) = repairs(book.ledger, [Fault("x", 1.0, 2.0)], [], 5.0)
    assert repair.late.count == 1
    assert repair.late.most == 0.0


def test_clients_of_a_victim_are_counted_from_the_faults_begin_and_others_from_their_loss() -> None:
    returns = [Return("a", 4.0, 5.0, 1006), Return("b", 1.5, 1.7, 1006), Return("a", 0.5, 9, 1006)]
    with_victim, without = repairs(
        Book().ledger,
        [Fault("a frozen", 1.0, 8.0, node="a"), Fault("network", 1.0, 8.0)],
        returns,
        5.0,
    )
    assert (with_victim.back.count, with_victim.back.most) == (1, 4.0)
    assert (without.back.count, without.back.most) == (2, 1.0)


def test_latencies_leave_out_what_was_sent_during_a_fault_and_soon_after() -> None:
    book = Book()
    book.message(1.0, 1.1, 1.2)
    book.message(5.0, 8.0, 9.0)
    book.message(7.5, 9.0, 9.0)
    book.message(20.0, 20.5, 20.6)
    book.message(21.0, None, None)
    found = latencies(book.ledger, [Fault("x", 4.0, 6.0)])
    assert (found.acks.count, found.acks.most) == (2, pytest.approx(0.5))
    assert (found.deliveries.count, found.deliveries.most) == (2, pytest.approx(0.6))


def test_a_spread_of_nothing_is_nothing() -> None:
    assert Spread.of([]) == Spread()
    found = Spread.of(range(1, 101))
    assert (found.p50, found.p95, found.p99, found.most) == (51, 96, 100, 100)


def test_counts_a_second_begin_where_they_should() -> None:
    assert per_second([0.9, 1.0, 1.2, 1.6, 3.0], 1.0, 2.0, 0.5) == [4.0, 2.0]
    assert per_second([], 1.0, 1.0, 0.5) == [0.0]
