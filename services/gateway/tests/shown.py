# ruff: noqa: S603, S607 what is started here stands in the repository
"""Runs what documents show: commands and what they print, against a real node.

A block marked ``console`` holds commands (``$ …``) and what they print. Numbers that differ from
run to run (times, tokens, ids of connections) are compared by their form.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "README.md"
SHOWN_ADDRESS = "127.0.0.1:8080"
WAIT_SECONDS = 60


class Node:
    """A gateway started as the README says, on a free port and with data of its own."""

    command = ("storm", "serve")

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STORM_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STORM_ADDR": self.address,
            "COLUMNS": "200",
        }
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            self.command,
            cwd=folder,
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def wait(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                if httpx2.get(f"http://{self.address}/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    @property
    def places(self) -> dict[str, str]:
        """What stands in the documents, and what it is here."""
        return {SHOWN_ADDRESS: self.address}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(WAIT_SECONDS)
        self.log.close()
        return status


class Stack(Node):
    """Two nodes with their servers, as `make run WORKERS=2` starts them."""

    command = ("storm", "up", "--workers", "2")

    def wait(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while "STORM is up" not in (said := (self.folder / "log").read_text()):
            assert self.process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.05)

    @property
    def places(self) -> dict[str, str]:
        said = (self.folder / "log").read_text()
        addresses = re.findall(r"^ *node-\d +http://(\S+)", said, re.M)
        shown = re.findall(r"^ *node-\d +http://(\S+)", README.read_text("utf-8"), re.M)
        return super().places | dict(zip(shown, addresses, strict=True))


# --- conversations in a shell ---

CURL = """
import argparse, sys, urllib.error, urllib.request
ask = argparse.ArgumentParser()
ask.add_argument("url")
ask.add_argument("-s", action="store_true")
ask.add_argument("-H", action="append", default=[])
for name in ("-X", "-d", "-o", "-w", "-b", "-c"):
    ask.add_argument(name)
asked = ask.parse_args()
if asked.b:
    asked.H.append("Cookie: " + open(asked.b).read())
data = asked.d.encode() if asked.d else None
request = urllib.request.Request(asked.url, data, method=asked.X)
for header in asked.H:
    request.add_header(*header.split(": ", 1))
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    answer = error
if asked.c:
    cookies = answer.headers.get_all("Set-Cookie", [])
    open(asked.c, "w").write("; ".join(cookie.split(";")[0] for cookie in cookies))
with open(asked.o, "wb") if asked.o else sys.stdout.buffer as to:
    to.write(answer.read())
    if asked.w:
        to.flush()
        sys.__stderr__.write(asked.w.replace("%{http_code}", str(answer.status)))
"""
"""The options of curl that the documents use, for a machine without it."""


class Shown:
    """One command and what it prints."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.output: list[str] = []

    @property
    def goes_on(self) -> bool:
        """Whether it runs until somebody ends it, in a terminal of its own."""
        return self.command.startswith(("storm tail", "python ", "node "))


def conversation(path: Path, heading: str) -> list[Shown]:
    """The commands under a heading, in order."""
    text = path.read_text(encoding="utf-8")
    part = text[text.index(f"{heading}\n") :]
    end = re.search(r"\n## ", part)
    found: list[Shown] = []
    for block in re.findall(r"^```console\n(.*?)^```", part[: end and end.start()], re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Shown(line[2:]))
            elif not found[-1].output and found[-1].command.endswith("\\"):
                found[-1].command += f"\n{line}"
            else:
                found[-1].output.append(line)
    return found


def form(line: str) -> str:
    """A line with what differs from run to run made equal."""
    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>", line)
    line = re.sub(r"\b\d{4}-\d\d-\d\d\b", "<date>", line)
    line = re.sub(r"\b\d\d:\d\d(:\d\d)?\b", "<clock>", line)
    return line.rstrip()


def fits(shown: str, seen: str) -> bool:
    """Whether a line is what was shown; ``…`` there stands for anything."""
    pattern = ".*".join(map(re.escape, form(shown).split("…")))
    return re.fullmatch(pattern, form(seen)) is not None


def converse(node: Node, steps: list[Shown]) -> None:
    """Run what is shown; it prints what is shown."""
    if shutil.which("curl") is None:
        program = node.folder / "curl"
        program.write_text(f"#!{sys.executable}\n{CURL}")
        program.chmod(0o755)
        node.environment["PATH"] = f"{node.folder}:{node.environment['PATH']}"
    shell = subprocess.Popen(
        ["bash"],
        cwd=node.folder,
        env=node.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    going_on: list[tuple[Shown, subprocess.Popen[str], Path]] = []
    settings: list[str] = []
    assert len(steps) >= 4
    try:
        for step in steps:
            command = step.command
            for shown, here in node.places.items():
                command = command.replace(shown, here)
            if command.startswith("export PATH="):  # the test has it in its environment
                command = command.replace("$PWD/.venv/bin:", "")
            if command.startswith(("export ", ". ")):  # for other terminals, too
                settings.append(command)
            if step.goes_on:
                seen_in = node.folder / f"tail-{len(going_on)}"
                with seen_in.open("w") as output:
                    process = subprocess.Popen(
                        ["bash", "-c", "; ".join([*settings, f"exec {command}"])],
                        cwd=node.folder,
                        env=node.environment | {"PYTHONUNBUFFERED": "1"},
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        text=True,
                    )
                going_on.append((step, process, seen_in))
                wait_for(process, seen_in, step.output[:1])
                continue
            shell.stdin.write(f"{command}\necho; echo '<done>'\n")
            shell.stdin.flush()
            seen = list(iter(shell.stdout.readline, "<done>\n"))
            lines = [line.rstrip("\n") for line in seen if line != "\n"]
            assert len(lines) == len(step.output), (command, lines)
            for expected, got in zip(step.output, lines, strict=True):
                assert fits(expected, got), (command, expected, got)
        for step, process, seen_in in going_on:
            wait_for(process, seen_in, step.output)
    finally:
        shell.stdin.close()
        shell.wait(WAIT_SECONDS)
        shell.stdout.close()
        for _, process, _ in going_on:
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_SECONDS)


def is_told(shown: str, seen: str) -> bool:
    """Whether a remark says what was shown; it may name more people, whose time was the same."""
    one = re.fullmatch(r"— (\w+) (came online|went offline)", shown)
    if one is None:
        return fits(shown, seen)
    all_of_them = re.fullmatch(rf"— (.+) {one[2]}", seen)
    return all_of_them is not None and one[1] in all_of_them[1].split(", ")


def wait_for(process: subprocess.Popen[str], seen_in: Path, shown: list[str]) -> None:
    """Until the lines have come, in order. Remarks (``— …``) come by a clock of their own: in any
    order, and there may be more of them.
    """

    def parted(lines: list[str]) -> tuple[list[str], list[str]]:
        remarks = [line for line in lines if line.startswith("— ")]
        return remarks, [line for line in lines if line and line not in remarks]

    expected_remarks, expected = parted(shown)
    until = time.monotonic() + WAIT_SECONDS
    while True:
        remarks, lines = parted(seen_in.read_text().splitlines())
        for line, got in zip(expected, lines, strict=False):
            assert fits(line, got), (line, lines)
        if len(lines) >= len(expected) and all(
            any(is_told(line, got) for got in remarks) for line in expected_remarks
        ):
            return
        assert process.poll() is None, (remarks, lines)
        assert time.monotonic() < until, (shown, remarks, lines)
        time.sleep(0.05)
