"""``storm import``: the history of an older system."""

import hashlib
import io
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from storm_gateway.actions import names
from storm_gateway.cli.common import fail, load_config, opened_store, run, say
from storm_gateway.cli.imports.irc import IrcLog, day_in_name, looks_like_irc
from storm_gateway.cli.imports.jsonl import read_jsonl
from storm_gateway.cli.imports.progress import Progress
from storm_gateway.cli.imports.records import Bad, Found, Record, user_id_of
from storm_gateway.cli.imports.slack import SlackExport
from storm_gateway.config import Config
from storm_gateway.observability.text import escape_control
from storm_gateway.store.base import Store
from storm_gateway.store.records import ImportMessage

BATCH = 1_000
FAULTS_TOLD = 10
_PEEK = 64 * 1024


class Format(StrEnum):
    """What ``--format`` may say."""

    AUTO = "auto"
    JSONL = "jsonl"
    IRC = "irc"
    SLACK = "slack"


@dataclass
class Summary:
    """What an import did."""

    read: int = 0
    stored: int = 0
    known: int = 0
    skipped: int = 0
    bad: int = 0
    faults: list[Bad] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    channels: Counter[str] = field(default_factory=Counter)
    first_ms: int | None = None
    last_ms: int | None = None

    def lines(self, seconds: float, dry: bool) -> list[str]:
        """For people."""
        rate = self.read / max(seconds, 0.001)
        done = "would be imported" if dry else f"imported, {self.known:,} were there already"
        count = self.read if dry else self.stored
        found = [f"{count:,} messages {done} ({seconds:.1f} s, {rate:,.0f}/s)"]
        if self.first_ms is not None and self.last_ms is not None:
            found.append(f"  from {_day(self.first_ms)} to {_day(self.last_ms)}")
        for channel, number in self.channels.most_common(20):
            found.append(f"  #{escape_control(channel)}: {number:,}")
        if self.skipped:
            found.append(f"{self.skipped:,} lines are no messages (joins, notices)")
        for name, user in list(self.renamed.items())[:5]:
            found.append(f"  {escape_control(name)} is now called {user}")
        if len(self.renamed) > 5:
            found.append(f"  and {len(self.renamed) - 5:,} more names were written differently")
        if self.bad:
            found.append(f"{self.bad:,} lines could not be read:")
            found += [f"  {escape_control(f'{f.where}: {f.reason}')}" for f in self.faults]
            if self.bad > len(self.faults):
                found.append(f"  and {self.bad - len(self.faults):,} more")
        return found


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


class Import:
    """One run: reads records, stores them in batches, keeps count."""

    def __init__(
        self, store: Store | None, channel: str | None, longest: int, progress: Progress
    ) -> None:
        """Without a store it only counts. ``longest``: characters of a message; longer ones are
        stored as several.
        """
        self.summary = Summary()
        self._store = store
        self._channel = channel
        self._longest = longest
        self._progress = progress
        self._waiting: dict[str, list[ImportMessage]] = {}
        self._count = 0
        self._source = ""
        self._users: dict[str, str] = {}
        self._same_at: int | None = None
        self._same: Counter[bytes] = Counter()

    async def add(self, record: Record, source: str, default: str, done_bytes: int) -> None:
        """Take one record of a reader; ``default`` is the channel of those that name none."""
        if source != self._source:
            await self.flush()
            self._source = source
        if isinstance(record, Bad):
            self.summary.bad += 1
            if len(self.summary.faults) < FAULTS_TOLD:
                self.summary.faults.append(record)
            return
        if not isinstance(record, Found):
            self.summary.skipped += 1
            return
        if not record.text.strip():
            self.summary.skipped += 1
            return
        channel = self._channel or record.channel or default
        user = self._user(record.user)
        key = record.key or self._key(user, record)
        waiting = self._waiting.setdefault(channel, [])
        parts = range(0, len(record.text), self._longest)
        for start in parts:
            part = record.text[start : start + self._longest]
            waiting.append(
                ImportMessage(user, part, record.at_ms, key if start == 0 else f"{key} {start}")
            )
            self._count += 1
        self._note(channel, record.at_ms, len(parts))
        if self._count >= BATCH:
            await self.flush()
            self._progress.update(self.summary.read, done_bytes)

    async def flush(self) -> None:
        """Store what waits."""
        for channel, messages in self._waiting.items():
            if self._store is not None:
                _, stored, known = await self._store.messages.load(
                    names.channel_name(channel), messages, self._source
                )
                self.summary.stored += stored
                self.summary.known += known
        self._waiting.clear()
        self._count = 0

    def _note(self, channel: str, at_ms: int, count: int) -> None:
        summary = self.summary
        summary.read += count
        summary.channels[channel] += count
        if summary.first_ms is None or at_ms < summary.first_ms:
            summary.first_ms = at_ms
        if summary.last_ms is None or at_ms > summary.last_ms:
            summary.last_ms = at_ms

    def _user(self, name: str) -> str:
        found = self._users.get(name)
        if found is None:
            found = user_id_of(name)
            if len(self._users) >= 65_536:
                self._users.clear()
            self._users[name] = found
            if found != name and len(self.summary.renamed) < 10_000:
                self.summary.renamed[name] = found
        return found

    def _key(self, user: str, record: Found) -> str:
        """Who, when, what, and the how-manieth of these: the same whenever it is imported again,
        from whatever file, and still two for somebody who said "yes" twice in one minute.
        """
        if record.at_ms != self._same_at:
            self._same_at = record.at_ms
            self._same.clear()
        text = f"{user}\0{record.at_ms}\0{record.channel or ''}\0{record.text}"
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
        self._same[digest] += 1
        return f"{digest.hex()} {self._same[digest]}"


def detect(path: Path, file: BinaryIO | None) -> Format:
    """Which format the input has. Raises ``ValueError`` when it looks like none of them."""
    if path.is_dir() or (file is not None and zipfile.is_zipfile(path)):
        return Format.SLACK
    assert isinstance(file, io.BufferedReader)  # noqa: S101 opened by us
    start = file.peek(_PEEK)[:_PEEK].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return Format.JSONL
    some = start.decode("utf-8", "replace").splitlines()[:50]
    if any(looks_like_irc(line) for line in some):
        return Format.IRC
    raise ValueError(f"{path}: this looks like no known format: say --format jsonl, irc or slack")


def import_history(
    files: Annotated[
        list[Path], typer.Argument(help="Files, or for Slack the export's folder or zip.")
    ],
    channel: Annotated[
        str | None,
        typer.Option(help="Put everything there. Default: the channel that the data names."),
    ] = None,
    format: Annotated[Format, typer.Option(help="How the files are written.")] = Format.AUTO,  # noqa: A002
    day: Annotated[
        str | None, typer.Option("--date", help="YYYY-MM-DD of an IRC log's first line.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Zone of an IRC log's clock.")] = "UTC",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, store nothing.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded database.")] = None,
) -> None:
    """Import history from JSON lines, an IRC log or a Slack export, with authors and times.

    Importing the same again stores nothing twice. Works while the server runs. Exit status 1 when
    some lines could not be read.
    """
    config = load_config(data_dir=data_dir)
    try:
        first_day = date.fromisoformat(day) if day else None
        zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)
    except ZoneInfoNotFoundError:
        fail(f"there is no time zone {timezone!r}: say for example Europe/Berlin", 2)
    except ValueError as error:
        fail(f"--date or --timezone: {error}", 2)
    for path in files:
        if not path.exists():
            fail(f"{path} does not exist", 2)
    began = time.monotonic()
    summary = run(_import(config, files, channel, format, first_day, zone, dry_run))
    for line in summary.lines(time.monotonic() - began, dry_run):
        say(line)
    if summary.bad:
        raise typer.Exit(1)


async def _import(
    config: Config,
    files: list[Path],
    channel: str | None,
    format_: Format,
    day: date | None,
    zone: tzinfo,
    dry: bool,
) -> Summary:
    total = sum(path.stat().st_size for path in files if path.is_file())
    progress = Progress(sys.stderr, total)
    async with nullcontext() if dry else opened_store(config) as store:
        work = Import(store, channel, config.payload_characters, progress)
        before = 0
        try:
            for path in files:
                for record, source, default, done in _records(path, format_, day, zone):
                    await work.add(record, source, default, before + done)
                before += path.stat().st_size if path.is_file() else 0
            await work.flush()
        finally:
            progress.end()
    return work.summary


def _records(
    path: Path, format_: Format, day: date | None, zone: tzinfo
) -> Iterator[tuple[Record, str, str, int]]:
    """(record, source, channel if it names none, bytes done) of one input."""
    if path.is_dir():
        yield from _slack(path)
        return
    with path.open("rb") as file:
        if format_ is Format.AUTO:
            format_ = detect(path, file)
        if format_ is Format.SLACK:
            yield from _slack(path)
            return
        default = path.stem.split(".")[0].lstrip("#") or "imported"
        if format_ is Format.JSONL:
            records = read_jsonl(file, path.name)
        else:
            records = IrcLog(day or day_in_name(path.name), zone).read(file, path.name)
        for record in records:
            yield record, format_.value, default, file.tell()


def _slack(path: Path) -> Iterator[tuple[Record, str, str, int]]:
    export = SlackExport(path)
    try:
        size = sum(export.sizes[name] for _, name in export.days) or 1
        whole = path.stat().st_size if path.is_file() else 0
        for done, record in export.read():
            yield record, "slack", "imported", whole * done // size
    finally:
        export.close()
