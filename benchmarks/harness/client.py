"""Drives the load client: one command, one line of JSON in answer."""

import json
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from harness.dialects import MESSAGE, PLAIN, Dialect
from harness.processes import pin

IN_FLIGHT = 128
# Far above what any load takes: the client itself gives up after a minute without progress.
ANSWER_SECONDS = 600

Answer = dict[str, Any]


class LoadClient:
    """A running ``stormload``."""

    def __init__(self, pid: int, commands: IO[str], answers: IO[str], dialect: Dialect) -> None:
        self.pid = pid
        self._dialect = dialect
        self._commands = commands
        self._answers = answers

    def ask(self, command: str) -> Answer:
        """Send one command and wait until it is done."""
        self._commands.write(command + "\n")
        self._commands.flush()
        if not select.select([self._answers], [], [], ANSWER_SECONDS)[0]:
            raise RuntimeError(f"the load client does not answer '{command}'")
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the load client ended at '{command}'")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the load client refused '{command}'")
        return answer

    def open(self, count: int) -> Answer:
        """Upgrade ``count`` connections and join the room with each."""
        answer = self.ask(f"open {count} {IN_FLIGHT}")
        if answer["joined"] != count:
            raise RuntimeError(f"only {answer['joined']} of {count} connections joined")
        return answer

    def close(self) -> Answer:
        """Reset all connections."""
        return self.ask("close")

    def burst(self, frames: int, seconds: float) -> Answer:
        """Closed loop of bursts; every connection must receive every frame once."""
        answer = self.ask(f"burst {frames} {seconds} {self._dialect.command}")
        if answer["stalled"] or answer["uneven"]:
            raise RuntimeError(f"frames were lost or doubled: {answer}")
        return answer

    def pace(self, rate: float, seconds: float) -> Answer:
        """Open loop of ``rate`` messages a second; every connection must receive each once.

        Latencies (``ms_…``) are counted from when a message was due; ``first_ms_p50`` and
        ``last_ms_p50`` are the medians of its first and its last delivery.
        """
        answer = self.ask(f"pace {rate} {seconds} {self._dialect.command}")
        if answer["uneven"] or answer["unexpected"]:
            del answer["buckets_us"]
            raise RuntimeError(f"frames were lost or doubled: {answer}")
        return answer

    def say(self, first: int, count: int, text: str) -> None:
        """Send one text frame on some connections."""
        self.ask(f"say {first} {count} {text}")

    def acks(self, senders: int, window: int, seconds: float) -> Answer:
        """Keep ``window`` messages of each sender outstanding; every one must be acknowledged."""
        answer = self.ask(f"acks {senders} {window} {seconds} {MESSAGE}")
        if answer["unanswered"] or answer["wrong"] or answer["errors"]:
            raise RuntimeError(f"messages were not acknowledged: {answer}")
        return answer

    def state(self) -> Answer:
        """How many connections stand, and what they have seen."""
        return self.ask("state")


@contextmanager
def load_client(
    program: Path, port: int, tokens: Path, *, cpu: int, dialect: Dialect = PLAIN
) -> Iterator[LoadClient]:
    """A load client on a processor of its own."""
    with _running(program, port, dialect, tokens, pin(cpu)) as client:
        client.ask(f"dialect {dialect.name}")
        yield client


@contextmanager
def spread_client(program: Path, port: int, tokens: Path, channels: int) -> Iterator[LoadClient]:
    """A load client on any processor, its connections spread over channels from 1."""
    anywhere = replace(PLAIN, path="/ws?channel_id=")
    with _running(program, port, anywhere, tokens, None) as client:
        client.ask(f"channels {channels}")
        yield client


@contextmanager
def _running(
    program: Path, port: int, dialect: Dialect, tokens: Path, settle: Callable[[], None] | None
) -> Iterator[LoadClient]:
    process = subprocess.Popen(  # noqa: S603 our own program
        [str(program), "127.0.0.1", str(port), dialect.path, str(tokens)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=settle,
        start_new_session=True,
    )
    commands, answers = process.stdin, process.stdout
    try:
        if commands and answers:
            yield LoadClient(process.pid, commands, answers, dialect)
    finally:
        process.kill()
        with process:  # closes its pipes and waits
            pass
