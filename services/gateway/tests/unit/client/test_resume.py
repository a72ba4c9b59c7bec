from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.client.resume import DOUBTFUL_HEARTBEATS, ChannelLog, State, Verdict
from storm_gateway.protocol.events import Gap


def live(last: int) -> ChannelLog:
    log = ChannelLog(1, last)
    log.subscribed(last, None)
    return log


def test_a_new_log_begins_at_the_head_that_the_server_names() -> None:
    log = ChannelLog(1)
    assert log.judge(5) is Verdict.LATER
    assert not log.subscribed(7, None)
    assert log.judge(7) is Verdict.KNOWN
    assert log.judge(8) is Verdict.TAKE


def test_the_next_event_is_taken_and_an_earlier_one_is_known() -> None:
    log = live(4)
    assert log.judge(5) is Verdict.TAKE
    log.take(5)
    assert log.judge(5) is Verdict.KNOWN
    assert log.judge(1) is Verdict.KNOWN


def test_a_jump_is_a_hole_and_what_comes_until_the_answer_is_for_later() -> None:
    log = live(4)
    assert log.judge(6) is Verdict.MISSED
    log.ask()
    assert log.judge(7) is Verdict.LATER
    assert log.judge(5) is Verdict.TAKE


def test_a_replay_may_leave_out_what_later_events_superseded() -> None:
    log = ChannelLog(1, 4)
    log.subscribed(9, None)
    assert log.judge(7) is Verdict.TAKE
    log.take(7)
    assert log.judge(9) is Verdict.TAKE
    log.take(9)
    assert log.judge(11) is Verdict.MISSED


def test_a_gap_stops_the_log_until_history_filled_it() -> None:
    log = ChannelLog(1, 4)
    assert log.subscribed(2_000, Gap(5, 1_000))
    assert log.state is State.FILLING
    assert (log.fill_from, log.fill_to) == (5, 1_500)
    assert log.judge(1_001) is Verdict.LATER
    log.ask()
    log.fall_behind()
    assert log.state is State.FILLING
    log.filled()
    assert (log.state, log.last) == (State.ASKING, 1_500)


def test_a_gap_that_is_known_already_is_none() -> None:
    log = ChannelLog(1, 1_000)
    assert not log.subscribed(2_000, Gap(5, 1_000))
    assert log.state is State.LIVE


def test_a_heartbeat_ahead_of_a_live_log_tells_silent_loss() -> None:
    log = live(4)
    assert not log.is_short_of(4)
    assert log.is_short_of(5)
    log.ask()
    assert not log.is_short_of(5)


def test_an_event_without_room_leaves_the_log_behind() -> None:
    log = live(4)
    log.fall_behind()
    assert log.judge(5) is Verdict.LATER
    log.ask()
    assert log.state is State.ASKING


def test_a_server_that_gave_less_is_asked_after_the_second_heartbeat() -> None:
    log = live(100)
    for head in range(90, 90 + DOUBTFUL_HEARTBEATS - 1):
        assert not log.is_ahead_of(head)
    assert log.is_ahead_of(95)
    assert log.last == 100


def test_a_node_that_lagged_for_one_heartbeat_is_not_doubted() -> None:
    log = live(100)
    assert not log.is_ahead_of(98)
    assert not log.is_ahead_of(100)
    assert not log.is_ahead_of(99)


def test_only_the_answer_of_the_store_sets_a_log_back() -> None:
    log = live(100)
    log.ask()
    log.subscribed(100, None)
    assert (log.last, log.rewound) == (100, False)
    log.ask()
    log.subscribed(95, None, reset=True)
    assert (log.last, log.rewound) == (95, True)
    assert log.judge(96) is Verdict.TAKE


@given(
    st.integers(1, 60),
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["event", "heartbeat", "break"]))),
)
def test_whatever_order_events_come_in_none_is_taken_twice_and_none_is_skipped(
    head: int, since: int, script: list[tuple[int, str]]
) -> None:
    """A server with a log of ``head`` events; live frames may be lost, repeated, reordered."""
    since = min(since, head)
    log = ChannelLog(1, since)
    taken: list[int] = []

    def offer(seq: int) -> None:
        verdict = log.judge(seq)
        if verdict is Verdict.TAKE:
            log.take(seq)
            taken.append(seq)
        elif verdict is Verdict.MISSED:
            log.ask()

    def answer() -> None:
        if log.state is State.ASKING:
            assert log.last is not None
            missing = range(log.last + 1, head + 1)
            log.subscribed(head, None)
            for seq in missing:
                offer(seq)

    for number, what in script:
        seq = min(number, head)
        if what == "event":
            offer(seq)
        elif what == "heartbeat":
            if log.is_short_of(seq):
                log.ask()
        else:
            log.ask()
        if number % 3 == 0:
            answer()
    log.ask()
    answer()
    assert taken == list(range(since + 1, head + 1))
