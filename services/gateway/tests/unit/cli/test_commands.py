"""The commands that need no server, run in this process against a store of their own."""

import json
import os
import re
import sqlite3
import stat
from pathlib import Path

import pytest
import structlog
import typer
from typer.testing import CliRunner, Result

from storm_gateway.actions.secret import load_secret
from storm_gateway.actions.tokens import Tokens
from storm_gateway.cli import settings
from storm_gateway.cli.common import run
from storm_gateway.cli.login import server_url
from storm_gateway.cli.main import app
from storm_gateway.cli.tokens import seconds_of
from storm_gateway.client import ClientError
from storm_gateway.config import Config
from storm_gateway.errors import NotFoundError

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> object:
    yield
    structlog.reset_defaults()


def storm(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=text)


def good(*arguments: str, text: str | None = None) -> str:
    result = storm(*arguments, text=text)
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result.stdout


def bad(*arguments: str, text: str | None = None, status: int = 1) -> str:
    result = storm(*arguments, text=text)
    assert result.exit_code == status, (result.stdout, result.stderr)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stderr


# --- users and tokens ---


def test_users_are_added_listed_and_made_administrators() -> None:
    assert good("user", "add", "bob", "--no-password") == "added bob\n"
    added = good("user", "add", "alice", "--password-stdin", "--admin", text=PASSWORD + "\n")
    assert added == "added alice, a server administrator\n"
    rows = [line.split("\t") for line in good("user", "list").splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("alice", "admin", "alice"),
        ("bob", "-", "bob"),
    ]
    assert good("user", "list", "--contains", "ali").startswith("alice")
    assert good("user", "admin", "bob") == "bob is a server administrator\n"
    assert good("user", "admin", "bob", "--off") == "bob is no server administrator\n"
    assert "nobody" in good("user", "add", "nobody", "--no-password", "--display-name", "No Body")


def test_users_are_banned_and_let_in_again_but_not_the_last_administrator() -> None:
    good("user", "add", "bob", "--no-password")
    good("user", "add", "alice", "--no-password", "--admin")
    assert good("user", "ban", "bob").startswith("bob is banned")
    assert "\tbanned\t" in good("user", "list", "--contains", "bob")
    assert "lift the ban" in bad("user", "admin", "bob")
    assert good("user", "unban", "bob").startswith("bob may log in again")
    assert "\t-\t" in good("user", "list", "--contains", "bob")
    assert "last server administrator" in bad("user", "ban", "alice")
    assert "no such user" in bad("user", "ban", "nobody")
    assert "no such user" in bad("user", "unban", "nobody")


def test_an_administrator_of_the_settings_is_named_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_ADMINS", "bob")
    good("user", "add", "bob", "--no-password")
    assert "\tadmin\t" in good("user", "list")
    assert "STORM_ADMINS still names" in good("user", "admin", "bob", "--off")


def test_a_password_is_changed_and_neither_stands_anywhere_in_the_clear(tmp_path: Path) -> None:
    good("user", "add", "alice", "--password-stdin", text=PASSWORD)
    assert "changed" in good("user", "passwd", "alice", "--password-stdin", text="another one\n")
    kept = (tmp_path / "data/storm.db").read_bytes()
    assert PASSWORD.encode() not in kept
    assert b"another one" not in kept


def test_what_cannot_be_a_user_is_refused_with_the_rule() -> None:
    assert "1 to 64 letters" in bad("user", "add", "no spaces", "--no-password")
    assert "8 to 128" in bad("user", "add", "alice", "--password-stdin", text="short")
    good("user", "add", "alice", "--no-password")
    assert "storm: " in bad("user", "add", "alice", "--no-password")
    assert "storm: " in bad("user", "passwd", "bob", "--password-stdin", text=PASSWORD)
    assert "no terminal" in bad("user", "add", "carol")


def test_a_token_is_signed_with_the_secret_of_the_data_folder(tmp_path: Path) -> None:
    good("user", "add", "alice", "--no-password")
    made = good("token", "alice", "--expires", "2h").strip()
    config = Config()
    identity = Tokens(config, load_secret(config), None).verify(made)
    assert identity.user_id == "alice"
    assert 7_190 < identity.expires_at - identity.issued_at <= 7_200
    assert stat.S_IMODE((tmp_path / "data/secret").stat().st_mode) == 0o600


def test_a_service_account_is_made_with_its_token() -> None:
    assert "no user 'robot'" in bad("token", "robot")
    good("token", "robot", "--service")
    assert "robot\t" in good("user", "list")
    assert "no life of a token" in bad("token", "robot", "--expires", "soon")
    assert "1 to 64 letters" in bad("token", "no spaces")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("15m", 900), ("1h", 3_600), ("30D", 2_592_000), (" 5s ", 5)]
)
def test_lives_of_tokens(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "1w", "-1", "1.5h", "99999d"])
def test_lives_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="no life"):
        seconds_of(text)


# --- settings ---


def test_every_setting_is_shown_with_value_source_and_meaning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORM_JWT_SECRET", "s" * 40)
    monkeypatch.setenv("STORM_DATABASE_URL", "postgresql://storm:hidden@db/storm")
    monkeypatch.setenv("STORM_PING_SECONDS", "7")
    shown = good("config", "show")
    for field, info in Config.model_fields.items():
        assert re.search(rf"^STORM_{field.upper()}=", shown, re.MULTILINE), field
        assert info.description is not None
        assert info.description in shown
    assert "s" * 40 not in shown
    assert "hidden" not in shown
    assert "STORM_JWT_SECRET=(set, not shown)" in shown
    assert "STORM_PING_SECONDS=7\n    protocol ping to each connection, seconds (environment, "
    assert "STORM_COOKIE_SECURE=false" in shown
    assert re.search(r"STORM_PING_SECONDS=7\n.*\(environment, default 30\)", shown)
    assert re.search(r"STORM_DEAD_SECONDS=90\n.*\(default\)", shown)


def test_settings_that_cannot_work_are_refused_with_their_names_and_without_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert good("config", "check") == "the settings can work\n"
    monkeypatch.setenv("STORM_ADDR", "nowhere")
    monkeypatch.setenv("STORM_JWT_SECRET", "tooshort")
    for command in (("config", "check"), ("config", "show"), ("user", "list")):
        told = bad(*command)
        assert "\n  STORM_ADDR: say host:port" in told
        assert "STORM_JWT_SECRET: needs at least 32 bytes" in told
        assert "tooshort" not in told


def test_settings_that_do_not_fit_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_PING_SECONDS", "100")
    assert "STORM_DEAD_SECONDS must be above STORM_PING_SECONDS" in bad("config", "check")


def test_a_misspelt_setting_gets_a_warning_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORM_ADRR", "x")
    monkeypatch.setenv("STORM_QQQQQQQQQ", "x")
    monkeypatch.setenv("STORM_TOKEN", "x")
    told = storm("config", "check").stderr
    assert "STORM_ADRR is no setting and is ignored. Did you mean STORM_ADDR?" in told
    assert "STORM_QQQQQQQQQ is no setting and is ignored.\n" in told
    assert "STORM_TOKEN" not in told
    assert storm("config", "check").exit_code == 0
    assert storm("config", "check", "--strict").exit_code == 1


def test_a_data_folder_that_cannot_be_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STORM_DATA_DIR", str(tmp_path / "file/below"))
    assert "is no folder" in bad("config", "check")
    monkeypatch.setenv("STORM_DATA_DIR", str(tmp_path / "new"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "is not writable" in bad("config", "check")
    monkeypatch.setenv("STORM_DATABASE_URL", "sqlite:////srv/storm.db")
    monkeypatch.setenv("STORM_JWT_SECRET", "s" * 40)
    assert good("config", "check") == "the settings can work\n"


def test_several_nodes_without_what_they_need_are_refused_and_told_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = {
        "STORM_NATS_URL": "nats://somebody:hidden@127.0.0.1:1",
        "STORM_REDIS_URL": "redis://:hidden@127.0.0.1:1/0",
        "STORM_DATABASE_URL": "postgresql://storm:hidden@127.0.0.1:1/storm",
        "STORM_JWT_SECRET": "s" * 40,
    }
    for name in needed:
        monkeypatch.delenv(name, raising=False)
    for name, value in needed.items():
        told = bad("serve", "--workers", "3")
        assert told.startswith("storm: 3 nodes need more settings:")
        for other in needed:
            assert (f"  {other} is " in told) == (not os.environ.get(other))
        # A setting that hints at others beside this node is looked at without --workers, too.
        if os.environ.get("STORM_NATS_URL"):
            assert f"storm: {name} is " in bad("config", "check")
        assert "hidden" not in told
        monkeypatch.setenv(name, value)
    assert good("config", "check") == "the settings can work\n"


def test_booleans_and_empty_texts_are_shown_as_they_are_written() -> None:
    assert [settings.shown(value) for value in (True, "", 5, 1.5)] == ["true", '""', "5", "1.5"]


# --- import ---


def rows(count: int, channel: str | None = "past") -> str:
    lines = []
    for number in range(count):
        row = {"time": 1_149_120_000 + number // 3, "user": f"u{number % 5}", "text": f"m{number}"}
        lines.append(json.dumps(row | ({"channel": channel} if channel else {})))
    return "\n".join(lines) + "\n"


def stored(tmp_path: Path) -> list[tuple[str, str, int]]:
    connection = sqlite3.connect(tmp_path / "data/storm.db")
    try:
        query = "SELECT user_id, payload, seq FROM messages ORDER BY channel_id, seq"
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_an_import_is_repeatable_from_the_same_and_from_another_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(rows(2_100))
    (tmp_path / "b.jsonl").write_text(rows(2_200))
    first = good("import", "a.jsonl")
    assert first.startswith("2,100 messages imported, 0 were there already")
    assert "  from 2006-06-01 00:00:00 to 2006-06-01 00:11:39\n" in first
    assert "  #past: 2,100" in first
    assert "\n100 messages imported, 2,100 were" in "\n" + good("import", "b.jsonl")
    found = stored(tmp_path)
    assert [payload for _, payload, _ in found] == [f"m{number}" for number in range(2_200)]
    assert [seq for _, _, seq in found] == list(range(1, 2_201))


def test_the_same_words_twice_in_one_moment_are_two_messages(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("[12:00] <a> yes\n[12:00] <a> yes\n[12:01] <a> yes\n")
    options = ("import", "x.log", "--date", "2006-06-01", "--channel", "talk")
    assert good(*options).startswith("3 messages imported, 0 were")
    assert good(*options).startswith("0 messages imported, 3 were")


def test_a_dry_run_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(rows(10))
    assert good("import", "a.jsonl", "--dry-run").startswith("10 messages would be imported")
    assert not (tmp_path / "data").exists()


def test_lines_that_cannot_be_read_are_counted_and_the_first_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(rows(3) + "{\n" * 15)
    result = storm("import", "a.jsonl")
    assert result.exit_code == 1
    assert "3 messages imported" in result.stdout
    assert "15 lines could not be read:" in result.stdout
    assert "  a.jsonl:4: " in result.stdout
    assert "a.jsonl:14" not in result.stdout
    assert "and 5 more" in result.stdout


def test_authors_whose_names_are_no_ids_are_told(tmp_path: Path) -> None:
    text = "".join(f"[12:00] <a|{number}> hi\n=== x joined\n" for number in range(7))
    (tmp_path / "talk.2006-06-01.log").write_text(text)
    told = good("import", "talk.2006-06-01.log")
    assert "#talk: 7" in told
    assert re.search(r"a\|0 is now called a_0\.[0-9a-f]{6}", told)
    assert "and 2 more names" in told
    assert "7 lines are no messages" in told


def test_a_message_above_the_limit_becomes_several_and_stays_so(tmp_path: Path) -> None:
    row = {"time": 1, "user": "a", "text": "x" * 9_000}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"text": " "}))
    assert good("import", "long.jsonl").startswith("3 messages imported")
    assert good("import", "long.jsonl").startswith("0 messages imported, 3 were")
    assert "".join(payload for _, payload, _ in stored(tmp_path)) == "x" * 9_000


def test_a_slack_export_and_other_files_go_in_one_command(tmp_path: Path) -> None:
    day = tmp_path / "export/random/2006-06-01.json"
    day.parent.mkdir(parents=True)
    day.write_text(
        json.dumps([{"type": "message", "user": "U1", "text": "hi", "ts": "1149120000"}])
    )
    (tmp_path / "export/channels.json").write_text('[{"id": "C1", "name": "random"}]')
    (tmp_path / "a.jsonl").write_text(rows(2, None))
    told = good("import", "export", "a.jsonl")
    assert "#random: 1" in told
    assert "#a: 2" in told


@pytest.mark.parametrize(
    ("arguments", "reason", "status"),
    [
        (("none.jsonl",), "does not exist", 2),
        (("letter.txt",), "no known format", 1),
        (("letter.txt", "--date", "soon"), "--date", 2),
        (("letter.txt", "--timezone", "Mars/Olympus"), "no time zone", 2),
        (("letter.txt", "--format", "slack"), "zip", 1),
        (("empty",), "no Slack export", 1),
    ],
)
def test_what_cannot_be_imported_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], reason: str, status: int
) -> None:
    (tmp_path / "letter.txt").write_text("Dear all,\n")
    (tmp_path / "empty").mkdir()
    assert reason in bad("import", *arguments, status=status)


def test_a_name_that_no_channel_may_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(rows(2))
    assert "one line" in bad("import", "a.jsonl", "--channel", "a\nb")


# --- the rest ---


def test_a_database_is_brought_up_to_date_and_both_revisions_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert re.match(r"the database went from revision none \(empty\) to \w+", good("migrate"))
    assert re.match(r"the database is up to date: revision \w+", good("migrate"))
    broken = Path("broken.db")
    broken.write_bytes(b"this is no database, whatever its name says" * 100)
    monkeypatch.setenv("STORM_DATABASE_URL", f"sqlite:///{broken}")
    assert "storm: " in bad("migrate")
    monkeypatch.setenv("STORM_DATABASE_URL", "mysql://x:hidden@db/x")
    told = bad("migrate")
    assert "STORM_DATABASE_URL" in told
    assert "hidden" not in told


def test_the_doctor_says_how_many_connections_and_what_limits_them() -> None:
    result = storm("doctor")
    assert result.exit_code in (0, 1)
    assert re.search(r"holds [\d,]+ connections\.\nThe limit is the ", result.stdout)
    found = json.loads(storm("doctor", "--json").stdout)
    assert found["capacity"]["connections"] > 0


def test_the_version_is_one_line() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", good("version"))


def test_serving_needs_settings_that_can_work(tmp_path: Path) -> None:
    assert "STORM_ADDR" in bad("serve", "--addr", "nowhere")
    (tmp_path / "file").write_text("")
    told = bad("serve", "--addr", "127.0.0.1:0", "--data-dir", str(tmp_path / "file"))
    assert "STORM_DATA_DIR" in told


@pytest.mark.parametrize(
    ("addr", "url"),
    [
        (":8080", "http://127.0.0.1:8080"),
        ("[::]:81", "http://[::1]:81"),
        ("[::1]:81", "http://[::1]:81"),
        ("10.0.0.1:82", "http://10.0.0.1:82"),
    ],
)
def test_the_server_on_this_machine_is_found_by_its_settings(addr: str, url: str) -> None:
    assert server_url(Config(addr=addr), None) == url
    assert server_url(Config(addr=addr), "https://elsewhere") == "https://elsewhere"


def test_coming_in_needs_exactly_one_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "say who you are" in bad("send", "general", "hi", status=2)
    assert "choose one" in bad("tail", "general", "--as", "a", "--user", "b", status=2)
    assert "no access token" in bad("send", "general", "hi", "--token-stdin", text="two words\n")
    monkeypatch.setenv("STORM_TOKEN", "tökén")
    assert "no access token" in bad("send", "general", "hi")
    assert "1 to 64 letters" in bad("send", "general", "hi", "--as", "no spaces")
    assert "no address" in bad("send", "general", "hi", "--as", "a", "--url", "ftp://x")


@pytest.mark.parametrize(
    "error", [NotFoundError("No."), ClientError("No."), OSError("No."), ValueError("No.")]
)
def test_refusals_end_a_command_with_a_sentence(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        run(work())
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "storm: No.\n"


def test_ctrl_c_ends_a_command_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        run(work())
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == ""
