"""A Slack export: a folder or zip with ``users.json``, ``channels.json`` and a folder of days for
each channel.

Only public channels are read: what was private must not come into a public channel.
"""

import html
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from storm_gateway.cli.imports.records import SKIPPED, Bad, Found, Record

DAY_BYTES = 256 * 1024 * 1024
"""The largest file of one day; more is refused (a zip can hold very much in very little)."""
_DAY = re.compile(r"(?P<channel>[^/]+)/(?P<day>\d{4}-\d{2}-\d{2})\.json")
_REFERENCE = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
_SAID = frozenset(
    ("", "bot_message", "me_message", "file_share", "thread_broadcast", "file_comment")
)
"""Subtypes that a person or a bot said; all others are notices of the system."""


class _File(msgspec.Struct):
    name: str | None = None
    title: str | None = None


class _Message(msgspec.Struct):
    ts: str
    type: str = "message"
    subtype: str = ""
    user: str | None = None
    username: str | None = None
    bot_id: str | None = None
    text: str | None = None
    files: list[_File | None] | None = None


class _Profile(msgspec.Struct):
    display_name: str = ""


class _User(msgspec.Struct):
    id: str
    name: str = ""
    profile: _Profile = msgspec.field(default_factory=_Profile)


class _Channel(msgspec.Struct):
    id: str
    name: str


class SlackExport:
    """An export, opened. Close it after use."""

    def __init__(self, path: Path) -> None:
        self._zip: zipfile.ZipFile | None = None
        self._files: dict[str, Callable[[], Any]] = {}
        self.sizes: dict[str, int] = {}
        if path.is_dir():
            for file in path.rglob("*.json"):
                name = file.relative_to(path).as_posix()
                self._files[name] = partial(open, file, "rb")
                self.sizes[name] = file.stat().st_size
        else:
            try:
                archive = self._zip = zipfile.ZipFile(path)
            except zipfile.BadZipFile as error:
                raise ValueError(f"{path} is no zip that can be read: {error}") from None
            for info in archive.infolist():
                if info.filename.endswith(".json"):
                    self._files[info.filename] = partial(archive.open, info)
                    self.sizes[info.filename] = info.file_size
        self._strip_folder()
        users = self._load("users.json", list[_User])
        self._users = {user.id: user.name or user.profile.display_name for user in users}
        channels = self._load("channels.json", list[_Channel])
        self._channels = {channel.id: channel.name for channel in channels}
        public = set(self._channels.values())
        days = sorted(
            (found["channel"], found["day"], name)
            for name in self._files
            if (found := _DAY.fullmatch(name)) is not None
        )
        self.days = [(channel, name) for channel, _, name in days if channel in public]
        self.private_days = len(days) - len(self.days)

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()

    def read(self) -> Iterator[tuple[int, Record]]:
        """(size of the files read so far, record), channel by channel, day by day."""
        done = 0
        for channel, name in self.days:
            for record in self._day(channel, name):
                yield done, record
            done += self.sizes[name]

    def _strip_folder(self) -> None:
        """A zip that was made of the folder has its name before everything."""
        if "channels.json" in self._files:
            return
        for name in self._files:
            folder, _, last = name.rpartition("/")
            if last == "channels.json" and "/" not in folder:
                cut = len(folder) + 1
                for old in [name for name in self._files if name.startswith(folder + "/")]:
                    self._files[old[cut:]] = self._files.pop(old)
                    self.sizes[old[cut:]] = self.sizes.pop(old)
                return
        raise ValueError("this is no Slack export: it has no channels.json")

    def _load(self, name: str, kind: Any) -> Any:
        if name not in self._files:
            return []
        if self.sizes[name] > DAY_BYTES:
            raise ValueError(f"{name} is larger than {DAY_BYTES} bytes")
        with self._files[name]() as file:
            # The size in a zip's directory is a claim: no more than the bound is ever unpacked.
            content = file.read(DAY_BYTES + 1)
        if len(content) > DAY_BYTES:
            raise ValueError(f"{name} is larger than {DAY_BYTES} bytes")
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{name}: {error}") from None

    def _day(self, channel: str, name: str) -> Iterator[Record]:
        try:
            rows = self._load(name, list[msgspec.Raw])
        except (ValueError, zipfile.BadZipFile, OSError) as error:
            yield Bad(name, str(error))
            return
        for number, raw in enumerate(rows, start=1):
            try:
                row = msgspec.json.decode(raw, type=_Message)
                at_ms = round(float(row.ts) * 1000)
            except (msgspec.MsgspecError, ValueError, OverflowError) as error:
                yield Bad(f"{name}, message {number}", str(error))
                continue
            yield self._message(channel, row, at_ms)

    def _message(self, channel: str, row: _Message, at_ms: int) -> Record:
        if row.type != "message" or row.subtype not in _SAID:
            return SKIPPED
        author = self._users.get(row.user or "") or row.username or row.user or row.bot_id
        text = self.plain(row.text or "")
        for file in row.files or []:
            label = (file.title or file.name) if file is not None else None
            text += f"{chr(10) if text else ''}[file: {label or 'without a name'}]"
        if not author or not text.strip():
            return SKIPPED
        if row.subtype == "me_message":
            text = f"/me {text}"
        # Slack's ts names a message within its channel; an edited one keeps it.
        return Found(author, at_ms, text, channel, f"{row.ts} {row.user or row.bot_id or ''}")

    def plain(self, text: str) -> str:
        """Slack's markup as plain text: names for ids, addresses beside their labels."""
        return html.unescape(_REFERENCE.sub(self._reference, text))

    def _reference(self, found: re.Match[str]) -> str:
        kind, target, label = found[1], found[2], found[3]
        if kind == "@":
            return "@" + (self._users.get(target) or label or target)
        if kind == "#":
            return "#" + (label or self._channels.get(target) or target)
        if kind == "!":
            return label or "@" + target.partition("^")[0]
        if label and label != target and not target.endswith(label):
            return f"{label} ({target})"
        return target.removeprefix("mailto:")
