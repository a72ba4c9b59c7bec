"""The judge is judged: each fault of a history turns it red, with exactly that count."""

from collections.abc import Callable

import pytest
from audit_history import Arrival, History, Receiver, Row, Sent
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.audit.verdict import judge

Harm = Callable[[History], None]


def clean() -> History:
    """Two channels, two senders, changes in between, and receivers of every kind."""
    history = History()
    history.change(1)
    for number in range(12):
        history.send(f"s{number % 2}", 1 + number % 2)
        if number == 6:
            history.change(1)
    history.receiver(1)
    history.receiver(1, after=3, cuts=(5, 6))
    history.receiver(2)
    history.receiver(2, after=4)
    return history


def message_of(receiver: Receiver, place: int) -> int:
    """The place of a message among what a receiver got."""
    return [at for at, each in enumerate(receiver.arrivals) if not each.change][place]


# --- green ---


def test_a_clean_history_is_green() -> None:
    history = clean()
    assert history.counts() == {}
    ledger = history.ledger()
    verdict = judge(ledger, history.stored(ledger))
    assert (verdict.attempts, verdict.acknowledged, verdict.stored) == (12, 12, 12)
    assert verdict.delivered == 6 + 4 + 6 + 2
    assert verdict.repeats == 0


def test_a_clean_history_is_green_without_the_log_of_changes() -> None:
    history = clean()
    history.changes = None
    assert history.counts() == {}


def test_events_that_a_resume_brings_again_are_repeats_and_no_fault() -> None:
    history = clean()
    receiver = history.receivers[0]
    again = [
        Arrival(each.seq, each.id, each.author, each.payload, 2, each.change)
        for each in receiver.arrivals[-2:]
    ]
    receiver.arrivals += again
    assert history.counts() == {}
    ledger = history.ledger()
    assert judge(ledger, history.stored(ledger)).repeats == 2


def test_a_change_inside_a_gap_that_was_told_need_not_be_received() -> None:
    history = clean()
    receiver = history.receivers[0]
    receiver.gaps = [(1, 4)]
    del receiver.arrivals[0]
    assert history.counts() == {}


def test_a_message_that_was_refused_and_is_nowhere_is_no_fault() -> None:
    history = clean()
    history.sent.append(Sent("s0", 1, refused=True))
    assert history.counts() == {}


def test_someone_who_was_removed_need_not_get_what_came_after() -> None:
    history = clean()
    receiver = history.receivers[0]
    receiver.upto = 5
    receiver.arrivals = [each for each in receiver.arrivals if each.seq <= 5]
    assert history.counts() == {}


def test_an_ack_that_is_repeated_for_a_retry_is_no_fault() -> None:
    history = clean()
    history.sent[3].acks *= 4
    assert history.counts() == {}


# --- red: lost ---


def lose_a_delivery(history: History) -> None:
    receiver = history.receivers[0]
    del receiver.arrivals[message_of(receiver, 2)]


def lose_the_last_delivery(history: History) -> None:
    del history.receivers[2].arrivals[-1]


def lose_everything_of_a_receiver(history: History) -> None:
    history.receivers[3].arrivals.clear()


def lose_an_acknowledged_message(history: History) -> None:
    history.rows[2].pop()
    for receiver in history.receivers:
        if receiver.channel == 2:
            receiver.arrivals.pop()


def acknowledge_another_seq(history: History) -> None:
    id_, seq = history.sent[4].acks[0]
    history.sent[4].acks = [(id_, seq + 1)]


def acknowledge_another_id(history: History) -> None:
    id_, seq = history.sent[4].acks[0]
    history.sent[4].acks = [(id_ + 500, seq)]


def acknowledge_a_retry_with_another_place(history: History) -> None:
    id_, seq = history.sent[4].acks[0]
    history.sent[4].acks.append((id_, seq + 1))


def acknowledge_the_place_of_another(history: History) -> None:
    history.sent[4].acks = list(history.sent[2].acks)


# --- red: duplicated ---


def deliver_twice(history: History) -> None:
    receiver = history.receivers[0]
    at = message_of(receiver, 2)
    receiver.arrivals.insert(at + 1, receiver.arrivals[at])


def deliver_twice_much_later(history: History) -> None:
    receiver = history.receivers[0]
    receiver.arrivals.append(receiver.arrivals[message_of(receiver, 0)])


def deliver_a_change_twice(history: History) -> None:
    receiver = history.receivers[0]
    receiver.arrivals.insert(1, receiver.arrivals[0])


def store_twice(history: History) -> None:
    """One ref became two rows; both were delivered, as the log says."""
    row = history.rows[2][1]
    again = Row(history.head(2) + 1, 9_000, row.author, row.payload)
    history.rows[2].append(again)
    for receiver in history.receivers:
        if receiver.channel == 2:
            receiver.arrivals.append(Arrival(again.seq, again.id, again.author, again.payload))


def store_twice_and_acknowledge_both(history: History) -> None:
    store_twice(history)
    row = history.rows[2][-1]
    history.sent[history.texts.number(row.payload)].acks.append((row.id, row.seq))


# --- red: out of order ---


def swap_deliveries(history: History) -> None:
    arrivals = history.receivers[0].arrivals
    arrivals[3], arrivals[4] = arrivals[4], arrivals[3]


def swap_the_first_two(history: History) -> None:
    arrivals = history.receivers[2].arrivals
    arrivals[0], arrivals[1] = arrivals[1], arrivals[0]


def swap_across_a_resume(history: History) -> None:
    arrivals = history.receivers[1].arrivals
    late = arrivals.pop(0)
    late.generation = 3
    arrivals.append(late)


def lose_a_change(history: History) -> None:
    receiver = history.receivers[0]
    (at, *_) = [at for at, each in enumerate(receiver.arrivals) if each.change]
    del receiver.arrivals[at]


def skip_a_seq_in_the_store(history: History) -> None:
    """The log itself has a hole; nobody received what is not there."""
    assert history.changes is not None
    history.changes[1].remove(1)
    for receiver in history.receivers:
        if receiver.channel == 1:
            receiver.arrivals = [each for each in receiver.arrivals if each.seq != 1]


def give_two_messages_one_seq(history: History) -> None:
    number = len(history.sent)
    seq = history.rows[2][-1].seq
    history.sent.append(Sent("s1", 2, refused=False))
    row = Row(seq, 5_000, "s1", history.texts.text(number))
    history.rows[2].insert(0, row)  # the judge sees the other one in this place
    history.sent[-1].acks = []
    history.sent[-1].refused = False


# --- red: phantom ---


def deliver_what_is_not_stored(history: History) -> None:
    receiver = history.receivers[0]
    receiver.arrivals.append(Arrival(99, 4_000, "s0", history.texts.text(0)))


def deliver_what_nobody_sent(history: History) -> None:
    history.receivers[0].arrivals.insert(3, Arrival(98, 4_001, "mallory", "psst"))


def deliver_another_text(history: History) -> None:
    receiver = history.receivers[0]
    at = message_of(receiver, 2)
    old = receiver.arrivals[at]
    receiver.arrivals[at] = Arrival(old.seq, old.id, old.author, old.payload[:-2] + "X.")


def deliver_another_author(history: History) -> None:
    receiver = history.receivers[0]
    at = message_of(receiver, 2)
    old = receiver.arrivals[at]
    receiver.arrivals[at] = Arrival(old.seq, old.id, "mallory", old.payload)


def deliver_another_id(history: History) -> None:
    receiver = history.receivers[0]
    receiver.arrivals[message_of(receiver, 2)].id += 1


def deliver_a_message_of_another_channel(history: History) -> None:
    row = history.rows[2][0]
    receiver = history.receivers[0]
    at = message_of(receiver, 2)
    old = receiver.arrivals[at]
    receiver.arrivals[at] = Arrival(old.seq, row.id, row.author, row.payload)


def deliver_another_message_of_the_same_sender(history: History) -> None:
    """Whole and genuine, but not what stands at this seq."""
    receiver = history.receivers[0]
    here, there = (receiver.arrivals[message_of(receiver, place)] for place in (2, 3))
    assert here.author == there.author
    here.payload = there.payload


def store_one_strange_text_and_deliver_another(history: History) -> None:
    store_what_nobody_sent(history)
    history.receivers[2].arrivals[-1].payload = "something else"


def deliver_a_change_in_place_of_a_message_when_changes_are_not_known(history: History) -> None:
    deliver_a_change_in_a_messages_place(history)
    history.changes = None


def deliver_a_change_in_a_messages_place(history: History) -> None:
    receiver = history.receivers[0]
    at = message_of(receiver, 2)
    receiver.arrivals[at] = Arrival(receiver.arrivals[at].seq, 0, "", "", change=True)


def deliver_a_change_that_never_was(history: History) -> None:
    history.receivers[0].arrivals.append(Arrival(97, 0, "", "", change=True))


def store_what_nobody_sent(history: History) -> None:
    """It went all the way: stored and delivered alike."""
    row = Row(history.head(2) + 1, 7_000, "mallory", "psst")
    history.rows[2].append(row)
    for receiver in history.receivers:
        if receiver.channel == 2:
            receiver.arrivals.append(Arrival(row.seq, row.id, row.author, row.payload))


def store_another_text(history: History) -> None:
    """And everyone received what is stored."""
    row = history.rows[2][0]
    old, row.payload = row.payload, row.payload[:-2] + "X."
    for receiver in history.receivers:
        for each in receiver.arrivals:
            if each.payload == old:
                each.payload = row.payload


def store_what_was_refused(history: History) -> None:
    row = history.rows[1][2]
    sent = history.sent[history.texts.number(row.payload)]
    sent.acks, sent.refused = [], True


def deliver_to_an_outsider(history: History) -> None:
    outsider = history.receiver(2)
    outsider.after = None
    del outsider.arrivals[1:]


def deliver_after_the_removal(history: History) -> None:
    receiver = history.receivers[0]
    receiver.upto = receiver.arrivals[-1].seq - 1


# --- red: unknown ---


def never_hear_of_it(history: History) -> None:
    history.sent.append(Sent("s0", 1))


def never_hear_of_one_that_is_stored(history: History) -> None:
    history.sent[5].acks = []


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lose_a_delivery, {"lost": 1}),
        (lose_the_last_delivery, {"lost": 1}),
        (lose_everything_of_a_receiver, {"lost": 2}),
        (lose_an_acknowledged_message, {"lost": 1}),
        (acknowledge_another_seq, {"lost": 1}),
        (acknowledge_another_id, {"lost": 1}),
        (acknowledge_a_retry_with_another_place, {"lost": 1}),
        (acknowledge_the_place_of_another, {"lost": 1}),
        (deliver_twice, {"duplicated": 1}),
        (deliver_twice_much_later, {"duplicated": 1}),
        (deliver_a_change_twice, {"duplicated": 1}),
        (store_twice, {"duplicated": 1}),
        (store_twice_and_acknowledge_both, {"duplicated": 1}),
        (swap_deliveries, {"out_of_order": 1}),
        (swap_the_first_two, {"out_of_order": 1}),
        (swap_across_a_resume, {"out_of_order": 1}),
        (lose_a_change, {"out_of_order": 1}),
        (skip_a_seq_in_the_store, {"out_of_order": 1}),
        (give_two_messages_one_seq, {"out_of_order": 1, "unknown": 1}),
        (deliver_what_is_not_stored, {"phantom": 1}),
        (deliver_what_nobody_sent, {"phantom": 1}),
        (deliver_another_text, {"phantom": 1}),
        (deliver_another_author, {"phantom": 1}),
        (deliver_another_id, {"phantom": 1}),
        (deliver_a_message_of_another_channel, {"phantom": 1}),
        (deliver_another_message_of_the_same_sender, {"phantom": 1}),
        (store_one_strange_text_and_deliver_another, {"phantom": 2}),
        (deliver_a_change_in_a_messages_place, {"phantom": 1}),
        (deliver_a_change_in_place_of_a_message_when_changes_are_not_known, {"phantom": 1}),
        (deliver_a_change_that_never_was, {"phantom": 1}),
        (store_what_nobody_sent, {"phantom": 1}),
        (store_another_text, {"phantom": 1}),
        (store_what_was_refused, {"phantom": 1}),
        (deliver_to_an_outsider, {"phantom": 1}),
        (deliver_after_the_removal, {"phantom": 1}),
        (never_hear_of_it, {"unknown": 1}),
        (never_hear_of_one_that_is_stored, {"unknown": 1}),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_one_fault_turns_it_red_with_exactly_that_count(
    harm: Harm, expected: dict[str, int]
) -> None:
    history = clean()
    harm(history)
    assert history.counts() == expected


def test_the_report_names_the_first_faults_and_counts_all() -> None:
    history = clean()
    for _ in range(30):
        history.receivers[0].arrivals.append(Arrival(96, 0, "", "", change=True))
    ledger = history.ledger()
    verdict = judge(ledger, history.stored(ledger))
    assert verdict.phantom == 30
    assert len(verdict.examples) == 10
    assert all("phantom: receiver 0, channel 1" in example for example in verdict.examples)


# --- at random ---


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Clean ones of every shape."""
    history = History()
    channels = draw(st.integers(1, 3))
    for step in draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, channels)))):
        kind, channel = step
        if kind == 0:
            history.change(channel)
        else:
            sent = history.send(f"s{kind}", channel)
            sent.acks *= draw(st.integers(1, 3))
    for channel in range(1, channels + 1):
        history.rows.setdefault(channel, [])
        head = history.head(channel)
        for _ in range(draw(st.integers(0, 3))):
            after = draw(st.integers(0, head))
            cuts = tuple(draw(st.lists(st.integers(after, head), max_size=3)))
            receiver = history.receiver(channel, after, cuts)
            # What each resume may bring again: the end of what was there already.
            for cut in sorted(set(cuts), reverse=True):
                at = cut - after
                overlap = draw(st.integers(0, min(at, 2)))
                if at < len(receiver.arrivals):
                    generation = receiver.arrivals[at].generation
                    receiver.arrivals[at:at] = [
                        Arrival(old.seq, old.id, old.author, old.payload, generation, old.change)
                        for old in receiver.arrivals[at - overlap : at]
                    ]
    return history


@given(histories(), st.booleans())
def test_every_clean_history_is_green(history: History, whole_log: bool) -> None:
    if not whole_log:
        history.changes = None
        # What nobody received and no page shows is not known to be a change.
    assert history.counts() == {}


def _some_stream(data: st.DataObject, history: History, least: int) -> Receiver | None:
    fitting = [
        receiver
        for receiver in history.receivers
        if len({each.seq for each in receiver.arrivals if not each.change}) >= least
    ]
    return data.draw(st.sampled_from(fitting)) if fitting else None


@given(histories(), st.data())
def test_one_lost_delivery_is_found_in_any_history(history: History, data: st.DataObject) -> None:
    receiver = _some_stream(data, history, 1)
    if receiver is None:
        return
    seq = data.draw(st.sampled_from([e.seq for e in receiver.arrivals if not e.change]))
    receiver.arrivals = [each for each in receiver.arrivals if each.seq != seq]
    assert history.counts() == {"lost": 1}


@given(histories(), st.data())
def test_one_doubled_delivery_is_found_in_any_history(
    history: History, data: st.DataObject
) -> None:
    receiver = _some_stream(data, history, 1)
    if receiver is None:
        return
    at = data.draw(st.integers(0, len(receiver.arrivals) - 1))
    receiver.arrivals.insert(at + 1, receiver.arrivals[at])
    assert history.counts() == {"duplicated": 1}


@given(histories(), st.data())
def test_one_late_delivery_is_found_in_any_history(history: History, data: st.DataObject) -> None:
    receiver = _some_stream(data, history, 2)
    if receiver is None:
        return
    seqs = sorted({each.seq for each in receiver.arrivals})
    late = data.draw(st.sampled_from(seqs[:-1]))
    moved = [each for each in receiver.arrivals if each.seq == late][-1]
    moved.generation = receiver.arrivals[-1].generation
    receiver.arrivals = [each for each in receiver.arrivals if each.seq != late] + [moved]
    assert history.counts() == {"out_of_order": 1}


@given(histories(), st.data())
def test_one_phantom_is_found_in_any_history(history: History, data: st.DataObject) -> None:
    receiver = _some_stream(data, history, 1)
    if receiver is None:
        return
    at = data.draw(st.integers(0, len(receiver.arrivals)))
    seq = data.draw(st.integers(history.head(receiver.channel) + 1, 10_000))
    receiver.arrivals.insert(at, Arrival(seq, 1, "s1", "boo", 1))
    assert history.counts() == {"phantom": 1}


@given(histories(), st.data())
def test_one_lost_row_is_found_in_any_history(history: History, data: st.DataObject) -> None:
    """The last one of a channel: others would leave a hole in the log as well."""
    fitting = [
        channel
        for channel, rows in history.rows.items()
        if rows and rows[-1].seq == history.head(channel)
    ]
    if not fitting:
        return
    channel = data.draw(st.sampled_from(fitting))
    row = history.rows[channel].pop()
    for receiver in history.receivers:
        if receiver.channel == channel:
            receiver.arrivals = [each for each in receiver.arrivals if each.seq != row.seq]
    assert history.counts() == {"lost": 1}


@given(histories(), st.data())
def test_one_row_stored_twice_is_found_in_any_history(
    history: History, data: st.DataObject
) -> None:
    fitting = [channel for channel, rows in history.rows.items() if rows]
    if not fitting:
        return
    channel = data.draw(st.sampled_from(fitting))
    old = data.draw(st.sampled_from(history.rows[channel]))
    row = Row(history.head(channel) + 1, 88_000, old.author, old.payload)
    history.rows[channel].append(row)
    for receiver in history.receivers:
        if receiver.channel == channel:
            receiver.arrivals.append(Arrival(row.seq, row.id, row.author, row.payload, 9))
    assert history.counts() == {"duplicated": 1}
