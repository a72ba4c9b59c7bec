import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.actions.names import is_user_id
from storm_gateway.cli.imports.irc import IrcLog, day_in_name, looks_like_irc
from storm_gateway.cli.imports.jsonl import milliseconds, read_jsonl
from storm_gateway.cli.imports.progress import Progress
from storm_gateway.cli.imports.records import (
    LINE_BYTES,
    SKIPPED,
    Bad,
    Found,
    Record,
    Skipped,
    user_id_of,
)
from storm_gateway.cli.imports.slack import DAY_BYTES, SlackExport

DAY_MS = 86_400_000
JUNE_1 = 1_149_120_000_000  # 2006-06-01T00:00:00Z


def jsonl(*lines: str | bytes) -> list[Record]:
    data = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
    return list(read_jsonl(io.BytesIO(data), "f"))


def irc(text: str | bytes, day: date | None = date(2006, 6, 1), **options: Any) -> list[Record]:
    data = text.encode() if isinstance(text, str) else text
    return list(IrcLog(day, **options).read(io.BytesIO(data), "f"))


def said(records: list[Record]) -> list[tuple[str, str]]:
    return [(r.user, r.text) for r in records if isinstance(r, Found)]


# --- JSON lines ---


def test_a_line_of_json_is_a_message_with_its_author_time_and_channel() -> None:
    line = '{"channel":"ubuntu","time":"2006-06-01T11:22:00Z","user":"bob","text":"hi","id":7}'
    assert jsonl(line) == [Found("bob", JUNE_1 + 40_920_000, "hi", "ubuntu", "7")]


@pytest.mark.parametrize(
    "time",
    [
        "2006-06-01T00:00:00Z",
        "2006-06-01T02:00:00+02:00",
        "2006-06-01 00:00:00",
        1149120000,
        1.14912e9,
    ],
)
def test_times_are_rfc_3339_or_seconds(time: str | float) -> None:
    assert milliseconds(time) == JUNE_1


@pytest.mark.parametrize("time", ["yesterday", -1, 1e20, "0001-01-01T00:00:00Z"])
def test_times_that_are_none_are_refused(time: str | float) -> None:
    with pytest.raises(ValueError, match=r"."):
        milliseconds(time)


def test_bad_lines_are_told_with_their_place_and_the_rest_is_read() -> None:
    good = '{"time":1,"user":"a","text":"x"}'
    records = jsonl(
        b"\xef\xbb\xbf" + good.encode(),
        "",
        "{",
        '{"time":1,"user":"a"}',
        '{"time":"noon","user":"a","text":"x"}',
        b'{"time":1,"user":"\xff","text":"x"}',
        b"x" * (LINE_BYTES + 10),
        good,
    )
    assert [r.where for r in records if isinstance(r, Bad)] == ["f:3", "f:4", "f:5", "f:6", "f:7"]
    assert len(said(records)) == 2


def test_an_endless_line_at_the_end_of_a_file_is_read_past() -> None:
    assert len(jsonl(b"x" * (3 * LINE_BYTES))) == 1


@given(st.binary(max_size=300))
def test_no_bytes_at_all_break_the_readers(data: bytes) -> None:
    for record in [*jsonl(data), *irc(data), *irc(data, None)]:
        assert isinstance(record, Found | Bad | Skipped)


# --- names ---


@given(st.text(min_size=1, max_size=100))
def test_every_name_becomes_a_user_id_and_a_good_one_stays(name: str) -> None:
    found = user_id_of(name)
    assert is_user_id(found)
    if is_user_id(name):
        assert found == name


def test_two_names_stay_two_people_and_are_alike_in_every_import() -> None:
    assert user_id_of("bob|away") != user_id_of("bob_away")
    assert user_id_of("bob|away") != user_id_of("bob[away")
    assert user_id_of("bob|away") == user_id_of("bob|away")
    assert user_id_of("José Núñez").startswith("Jose_Nunez.")
    assert user_id_of("日本").startswith("user.")


# --- IRC ---


def test_the_log_of_the_ubuntu_archives() -> None:
    records = irc(
        "=== bob [n=bob@host] has joined #ubuntu\n"
        "[11:22] <frenkel> Linuturk: i'm willing to seed\n"
        "[11:22] === eve is now known as mallory\n"
        "[11:23] * carol waves\n"
    )
    assert said(records) == [
        ("frenkel", "Linuturk: i'm willing to seed"),
        ("carol", "/me waves"),
    ]
    assert [r.at_ms for r in records if isinstance(r, Found)] == [
        JUNE_1 + (11 * 60 + 22) * 60_000,
        JUNE_1 + (11 * 60 + 23) * 60_000,
    ]


def test_the_log_of_irssi_with_its_days() -> None:
    records = irc(
        "--- Log opened Thu Jun 01 23:58:00 2006\n"
        "23:58 < alice> late\n"
        "23:59 <@bob> later\n"
        "23:59 -!- eve [eve@host] has quit [Ping timeout]\n"
        "--- Day changed Fri Jun 02 2006\n"
        "00:01  * alice sleeps\n",
        None,
    )
    assert said(records) == [("alice", "late"), ("bob", "later"), ("alice", "/me sleeps")]
    assert isinstance(records[-1], Found)
    assert records[-1].at_ms == JUNE_1 + DAY_MS + 60_000


def test_the_log_of_weechat() -> None:
    records = irc(
        "2006-06-01 11:22:03\t-->\talice (alice@host) has joined #ubuntu\n"
        "2006-06-01 11:22:04\t@alice\thello\tthere\n"
        "2006-06-01 11:22:05\t *\talice waves\n"
        "2006-06-01 11:22:06\t--\tMode #ubuntu [+o alice]\n"
        "2006-06-01 11:22:07\t *\t\n",
        None,
    )
    assert said(records) == [("alice", "hello\tthere"), ("alice", "/me waves")]


def test_the_log_of_hexchat() -> None:
    records = irc(
        "**** BEGIN LOGGING AT Thu Jun  1 11:22:00 2006\n"
        "\n"
        "Jun 01 11:22:03 <alice>\thello\n"
        "Jun 01 11:22:04 *\talice waves\n"
        "Jun 01 11:22:05 *\tbob (~b@host) has joined\n"
        "Jun 01 11:22:06 *\tbob is now known as rob\n"
        "**** ENDING LOGGING AT Thu Jun  1 12:00:00 2006\n",
        None,
    )
    assert said(records) == [("alice", "hello"), ("alice", "/me waves")]


def test_the_log_of_znc_with_the_day_in_its_name() -> None:
    assert day_in_name("#ubuntu_2006-06-01.log") == date(2006, 6, 1)
    assert day_in_name("20060601.txt") == date(2006, 6, 1)
    assert day_in_name("99999999.log") is None
    assert said(irc("[11:22:03] <alice> hello\n[11:22:04] *** Joins: bob (b@h)\n")) == [
        ("alice", "hello")
    ]


def test_times_that_step_back_by_half_a_day_are_after_midnight() -> None:
    records = irc("[23:59] <a> x\n[00:00] <a> y\n[23:58] <a> z\n")
    assert [r.at_ms - JUNE_1 for r in records if isinstance(r, Found)] == [
        DAY_MS - 60_000,
        DAY_MS,
        2 * DAY_MS - 120_000,
    ]


def test_the_clock_of_a_log_may_be_in_a_zone() -> None:
    (record,) = irc("[12:00] <a> x\n", zone=ZoneInfo("Europe/Berlin"))
    assert isinstance(record, Found)
    assert record.at_ms == JUNE_1 + 10 * 3_600_000


def test_a_log_without_any_day_asks_for_one() -> None:
    (record,) = irc("[12:00] <a> x\n", None)
    assert isinstance(record, Bad)
    assert "--date" in record.reason


@pytest.mark.parametrize("line", ["25:99 <a> x", "just text", "Feb 31 12:00:00 <a> x"])
def test_lines_of_no_log_are_told(line: str) -> None:
    (record,) = irc(line)
    assert isinstance(record, Bad)


def test_colours_and_old_encodings_become_text() -> None:
    assert said(irc(b"[12:00] <a> \x0304,01red\x03 \x02bold\x02 caf\xe9\n")) == [
        ("a", "red bold café")
    ]


def test_an_unknown_month_changes_no_day() -> None:
    assert irc("--- Day changed Fri Xyz 02 2006\n") == [SKIPPED]


def test_what_looks_like_a_log() -> None:
    assert looks_like_irc("[11:22] <a> b")
    assert looks_like_irc("--- Log opened Thu Jun 01 11:22:00 2006")
    assert not looks_like_irc("Dear all,")
    assert not looks_like_irc("11:22 and so on")


# --- Slack ---

USERS = [
    {"id": "U1", "name": "alice", "profile": {"display_name": "Alice"}},
    {"id": "U2", "name": "", "profile": {"display_name": "Bob B."}},
]
CHANNELS = [{"id": "C1", "name": "general"}, {"id": "C2", "name": "random"}]
DAY = [
    {"type": "message", "user": "U1", "text": "Hi <@U2> &amp; <!here>", "ts": "1149120000.000100"},
    {"type": "message", "subtype": "channel_join", "user": "U2", "text": "joined", "ts": "1.0"},
    {"type": "message", "user": "U2", "text": "see <https://x.org|the site>", "ts": "1149120001.5"},
    {
        "type": "message",
        "subtype": "me_message",
        "user": "U1",
        "text": "waves",
        "ts": "1149120002.0",
    },
    {
        "type": "message",
        "subtype": "bot_message",
        "bot_id": "B1",
        "username": "deploy bot",
        "text": "<#C2>, <#C9|gone>, <mailto:a@b.c|a@b.c>, <https://y.org>",
        "ts": "1149120003.0",
    },
    {
        "type": "message",
        "user": "U1",
        "text": "",
        "files": [{"name": "a.png"}, None],
        "ts": "1149120004",
    },
    {
        "type": "message",
        "user": "U3",
        "text": "<!subteam^S1|@team> <!date^1^x>",
        "ts": "1149120005",
    },
    {"type": "message", "user": "U1", "text": " ", "ts": "1149120006"},
    {"type": "message", "user": "U1", "text": "when?", "ts": "soon"},
    {"type": "file", "user": "U1", "text": "x", "ts": "1"},
    "nonsense",
]
FILES: dict[str, Any] = {
    "users.json": USERS,
    "channels.json": CHANNELS,
    "groups.json": [{"id": "G1", "name": "secret"}],
    "general/2006-06-01.json": DAY,
    "general/2006-06-02.json": [
        {"type": "message", "user": "U1", "text": "later", "ts": "1149206400"}
    ],
    "random/2006-06-01.json": "not a list",
    "secret/2006-06-01.json": [{"type": "message", "user": "U1", "text": "private", "ts": "1"}],
}


def as_folder(where: Path, prefix: str = "") -> Path:
    for name, content in FILES.items():
        file = where / "export" / prefix / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return where / "export"


def as_zip(where: Path, prefix: str = "") -> Path:
    path = where / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(prefix + name, json.dumps(content))
        archive.writestr("integration.txt", "no JSON")
    return path


@pytest.mark.parametrize("prefix", ["", "team export/"])
@pytest.mark.parametrize("make", [as_folder, as_zip])
def test_a_slack_export_is_read_channel_by_channel_without_what_was_private(
    tmp_path: Path, make: Callable[[Path, str], Path], prefix: str
) -> None:
    export = SlackExport(make(tmp_path, prefix))
    records = [record for _, record in export.read()]
    export.close()
    assert said(records) == [
        ("alice", "Hi @Bob B. & @here"),
        ("Bob B.", "see the site (https://x.org)"),
        ("alice", "/me waves"),
        ("deploy bot", "#random, #gone, a@b.c, https://y.org"),
        ("alice", "[file: a.png]\n[file: without a name]"),
        ("U3", "@team @date"),
        ("alice", "later"),
    ]
    bad = [record.where for record in records if isinstance(record, Bad)]
    assert bad == [
        "general/2006-06-01.json, message 9",
        "general/2006-06-01.json, message 11",
        "random/2006-06-01.json",
    ]
    first = next(record for record in records if isinstance(record, Found))
    assert (first.at_ms, first.channel) == (JUNE_1, "general")
    assert first.key == "1149120000.000100 U1"
    assert export.private_days == 1


def test_a_folder_that_is_no_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"channels\.json"):
        SlackExport(tmp_path)


def test_a_small_zip_that_unpacks_to_very_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storm_gateway.cli.imports.slack.DAY_BYTES", 10_000)
    assert DAY_BYTES > 10_000
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("channels.json", json.dumps(CHANNELS))
        archive.writestr("general/2006-06-01.json", "[" + " " * 1_000_000 + "]")
    export = SlackExport(path)
    ((_, record),) = export.read()
    assert isinstance(record, Bad)
    # The directory of a zip may lie about the size: the bound holds while unpacking, too.
    export.sizes["general/2006-06-01.json"] = 5
    ((_, record),) = export.read()
    export.close()
    assert isinstance(record, Bad)
    assert "larger" in record.reason


# --- progress ---


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_moves_on_a_terminal_and_is_a_line_now_and_then_elsewhere() -> None:
    for out, pause in ((Terminal(), 0.2), (io.StringIO(), 6.0)):
        times = iter([0.0, 0.05, pause, pause + 0.01])
        progress = Progress(out, 1_000, lambda times=times: next(times))  # type: ignore[misc]
        progress.update(1, 1)
        progress.update(500, 500)
        progress.update(501, 501)
        progress.end()
        shown = out.getvalue()
        assert shown.count("500 messages") == 1
        assert " 50%" in shown
        assert ("\r" in shown) == out.isatty()
        assert shown.endswith("\n") != out.isatty()


def test_progress_of_an_input_of_unknown_size_is_a_count() -> None:
    out = io.StringIO()
    progress = Progress(out, 0, lambda: 0.0)
    assert progress.text(10, 5, 2.0) == "10 messages, 5/s"
    progress.end()
    assert out.getvalue() == ""


def test_utc_is_the_zone_unless_told() -> None:
    assert IrcLog()._zone is UTC
