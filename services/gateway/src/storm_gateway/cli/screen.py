"""A terminal with a prompt in its last line: events scroll above what is being typed."""

import asyncio
import codecs
import os
import sys
import termios
import tty
import unicodedata
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from storm_gateway.observability.text import escape_control

_CLEAR = "\r\x1b[K"
_READ_BYTES = 4_096
_WAITING_LINES = 100
STATUS_SECONDS = 6.0
LONGEST = 4_000


class Editor:
    """The line being typed. No I/O: keys in, finished lines out."""

    def __init__(self) -> None:
        self.text = ""
        self.ended = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape = ""

    def feed(self, data: bytes) -> list[str]:
        """Take keys; returns the lines that Enter finished."""
        done: list[str] = []
        for key in self._decoder.decode(data):
            if self._in_escape(key):
                continue
            if key in "\r\n":
                if self.text.strip():
                    done.append(self.text)
                self.text = ""
            elif key in "\x7f\b":
                self.text = self.text[:-1]
            elif key == "\x15":  # Ctrl-U
                self.text = ""
            elif key == "\x17":  # Ctrl-W
                self.text = self.text.rstrip().rpartition(" ")[0]
                self.text += " " if self.text else ""
            elif key == "\x04" and not self.text:  # Ctrl-D
                self.ended = True
            elif key == "\t" or unicodedata.category(key) not in ("Cc", "Cs"):
                self.text = (self.text + key)[:LONGEST]
        return done

    def _in_escape(self, key: str) -> bool:
        """Arrows and function keys: an escape, perhaps a bracket, up to a letter or a tilde."""
        if key == "\x1b":
            self._escape = key
        elif not self._escape:
            return False
        elif self._escape == "\x1b" and key in "[O":
            self._escape += key
        elif self._escape == "\x1b" or key.isalpha() or key == "~":
            self._escape = ""
        return True


def columns_of(text: str) -> int:
    """How many columns a text without control characters takes."""
    return sum(
        0
        if unicodedata.combining(character) or unicodedata.category(character) == "Cf"
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def end_that_fits(text: str, columns: int) -> str:
    """The end of a text, as much as fits."""
    while text and columns_of(text) > columns:
        text = text[1:]
    return text


class Screen:
    """The terminal of ``storm tail``; enter it to take the keyboard, leave it to give it back."""

    def __init__(self, channel: str) -> None:
        self._prompt = f"#{escape_control(channel)}> "
        self._editor = Editor()
        self._status: str | None = None
        self._forget_status: asyncio.TimerHandle | None = None
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(_WAITING_LINES)
        self._keyboard = sys.stdin.fileno()
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._keyboard)
        tty.setcbreak(self._keyboard)
        asyncio.get_running_loop().add_reader(self._keyboard, self._on_keys)
        self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._keyboard)
        if self._forget_status is not None:
            self._forget_status.cancel()
        termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)
        self._write(_CLEAR)

    def line(self, text: str) -> None:
        """Show a line above the prompt."""
        self._status = None
        self._write(f"{_CLEAR}{text}\n")
        self._draw()

    def status(self, text: str) -> None:
        """Show something before the prompt for some seconds."""
        self._status = text
        if self._forget_status is not None:
            self._forget_status.cancel()
        loop = asyncio.get_running_loop()
        self._forget_status = loop.call_later(STATUS_SECONDS, self._no_status)
        self._draw()

    async def typed(self) -> AsyncIterator[str]:
        """Lines as they are typed, until Ctrl-D."""
        while (line := await self._lines.get()) is not None:
            yield line

    def _no_status(self) -> None:
        self._status = None
        self._draw()

    def _on_keys(self) -> None:
        data = os.read(self._keyboard, _READ_BYTES)
        for line in self._editor.feed(data):
            if self._lines.full():
                self._write("\a")
            else:
                self._lines.put_nowait(line)
        if not data or self._editor.ended:
            asyncio.get_running_loop().remove_reader(self._keyboard)
            if self._lines.full():
                self._lines.get_nowait()
            self._lines.put_nowait(None)
        self._draw()

    def _draw(self) -> None:
        try:
            width = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            width = 80
        before = f"{self._status}  " if self._status else ""
        taken = len(self._prompt) + len(before) + 1
        shown = end_that_fits(self._editor.text.replace("\t", " "), max(10, width - taken))
        self._write(f"{_CLEAR}{before}{self._prompt}{shown}")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
