"""IRC logs: of irssi, WeeChat, HexChat, ZNC, the Ubuntu archives and those that look like them.

The time of a line stands before it, with or without its day. The day comes from the line itself,
from lines such as ``--- Day changed Fri Jun 02 2006``, from the file's name, or from ``--date``;
and where a log only has times, a step back by more than twelve hours is midnight.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import BinaryIO

from storm_gateway.cli.imports.records import SKIPPED, Bad, Found, Record, lines_of

_CLOCK = r"(?P<clock>\d{1,2}:\d{2}(?::\d{2})?)"
_STAMP = re.compile(
    rf"""^\s*(?:
        \[?(?P<day>\d{{4}}-\d{{2}}-\d{{2}})[T ]{_CLOCK}(?:\.\d+)?Z?\]?
      | \[?{_CLOCK.replace("clock", "clock2")}\]?
      | (?P<month>[A-Z][a-z]{{2}})\s(?P<mday>\d{{1,2}})\s{_CLOCK.replace("clock", "clock3")}
    )(?P<rest>[\t ].*)$""",
    re.VERBOSE,
)
_SAID = re.compile(r"^\s*<[ @+%&~!]?(?P<user>[^\s<>]+)>[\t ]?(?P<text>.*)$")
_ACTION = re.compile(r"^\s*\*{1,3}[\t ]+(?P<user>[^\s*]+)[\t ](?P<text>.*)$")
_WEECHAT = re.compile(r"^\t(?P<user>[^\t]*)\t(?P<text>.*)$")
_WEECHAT_NOTICES = frozenset(("", "-->", "<--", "--", "=!=", "---", "<->"))
_DAY_LINE = re.compile(
    r"^(?:---|\*{4})\s(?:Log opened|Day changed|BEGIN LOGGING AT)\s+"
    r"[A-Z][a-z]{2}\s(?P<month>[A-Z][a-z]{2})\s+(?P<mday>\d{1,2})"
    r"(?:\s\d{2}:\d{2}:\d{2})?\s(?P<year>\d{4})"
)
_NO_MESSAGE = re.compile(r"^\s*(?:===|---|\*{4}|-!-|\*{3})")
# HexChat writes joins and the like with the same star as actions.
_NOTICE = re.compile(
    r"(?:\([^)]*\) )?(?:has (?:joined|quit|left|changed the topic|kicked)\b|is now known as "
    r"|sets mode|gives (?:channel operator|voice)|removes (?:channel operator|voice)|You are now )"
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DAY_IN_NAME = re.compile(r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)")
_HALF_A_DAY = timedelta(hours=12)


def day_in_name(name: str) -> date | None:
    """The day that a file's name holds, as ``#ubuntu.2006-06-01.log`` or ``20060601.txt``."""
    for found in _DAY_IN_NAME.finditer(name):
        try:
            return date(*map(int, found.groups()))
        except ValueError:
            continue
    return None


def looks_like_irc(line: str) -> bool:
    """Whether a line could be one of such a log."""
    found = _STAMP.match(line)
    if found is None:
        return _DAY_LINE.match(line) is not None
    return _message(found["rest"]) is not None


class IrcLog:
    """Reads one file."""

    def __init__(self, day: date | None = None, zone: tzinfo = UTC) -> None:
        """``day`` of the first line, where the log does not say; ``zone`` of its clock."""
        self._day = day
        self._zone = zone
        self._last: datetime | None = None

    def read(self, file: BinaryIO, name: str) -> Iterator[Record]:
        for found in lines_of(file, name):
            if isinstance(found, Bad):
                yield found
            else:
                yield self._line(*found)

    def _line(self, place: str, raw: bytes) -> Record:
        line = _text(raw)
        changed = _DAY_LINE.match(line)
        if changed is not None:
            self._set_day(int(changed["year"]), changed["month"], int(changed["mday"]))
            return SKIPPED
        stamp = _STAMP.match(line)
        if stamp is None:
            return SKIPPED if _NO_MESSAGE.match(line) else Bad(place, "no time before the text")
        try:
            at = self._at(stamp)
        except ValueError as error:
            return Bad(place, str(error))
        if at is None:
            return Bad(place, "no day is known: say --date YYYY-MM-DD")
        said = _message(stamp["rest"])
        if said is None:
            return SKIPPED
        return Found(said[0], round(at.timestamp() * 1000), said[1])

    def _set_day(self, year: int, month: str, day: int) -> None:
        if month in _MONTHS:
            self._day = date(year, _MONTHS.index(month) + 1, day)
            self._last = None

    def _at(self, stamp: re.Match[str]) -> datetime | None:
        clock = time.fromisoformat((stamp["clock"] or stamp["clock2"] or stamp["clock3"]).zfill(5))
        if stamp["day"]:
            day = date.fromisoformat(stamp["day"])
        elif self._day is None:
            return None
        elif stamp["month"] in _MONTHS:
            day = date(self._day.year, _MONTHS.index(stamp["month"]) + 1, int(stamp["mday"]))
        else:
            day = self._day
        at = datetime.combine(day, clock, self._zone)
        if not stamp["day"] and self._last is not None and self._last - at > _HALF_A_DAY:
            day += timedelta(days=1)
            at = datetime.combine(day, clock, self._zone)
        self._day, self._last = day, at
        return at


def _message(rest: str) -> tuple[str, str] | None:
    """(user, text) of what follows the time; None when it is no message."""
    said = _SAID.match(rest)
    if said is not None:
        return said["user"], said["text"]
    weechat = _WEECHAT.match(rest)
    if weechat is not None:
        user, text = weechat["user"].strip(), weechat["text"]
        if user == "*":
            user, _, text = text.partition(" ")
            return (user, f"/me {text}") if user else None
        return None if user in _WEECHAT_NOTICES else (user.lstrip("@+%&~!"), text)
    action = _ACTION.match(rest)
    if action is not None and not rest.lstrip().startswith("***"):
        if _NOTICE.match(action["text"]):
            return None
        return action["user"], f"/me {action['text']}"
    return None


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")  # what most old clients wrote
    # Colours and emphasis of mIRC.
    return re.sub(r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|[\x02\x0f\x11\x16\x1d\x1e\x1f]", "", text)
