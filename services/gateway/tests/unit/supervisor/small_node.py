"""A small program that a supervisor takes for a node.

What it does stands in a file (``MOOD``), read at its start; each connection is told who answers.
It uses nothing of ours: the lines that travel between a supervisor and its nodes are written out
here once more.
"""

import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

mood = Path(os.environ["MOOD"]).read_text().split()
line, service, own = (socket.socket(fileno=int(number)) for number in sys.argv[-1].split(","))
name = os.environ["STORM_NODE_NAME"]


def tell(state: str, why: str = "") -> None:
    line.sendall(json.dumps({"state": state, "why": why}).encode() + b"\n")


def note(what: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{name} {os.getpid()} {what}\n")


def end(*_: object) -> NoReturn:
    note("ends")
    os._exit(0)


note("starts")
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in mood else end)
signal.signal(signal.SIGINT, end)
for each in ("refused", "failed"):
    if each in mood:
        tell(each, f"this node {each}")
        sys.exit(1)
if "crash" in mood:
    sys.exit(3)
if "hang" in mood:
    signal.pause()
line.setblocking(True)
if "unready" in mood:
    tell("unready", "the bus does not answer")
    assert json.loads(line.recv(1024)) == {"wish": "serve"}
for listener in (service, own):
    listener.listen(128)
    listener.setblocking(False)
tell("ready")
poll = select.poll()
for each in (line, service, own):
    poll.register(each, select.POLLIN)
while True:
    for number, _ in poll.poll():
        if number == line.fileno():
            said = line.recv(1024)
            if not said:
                end()
            wish = json.loads(said)["wish"]
            if wish == "lend":
                socket.send_fds(line, [b'{"state":"lent"}\n'], [service.fileno(), own.fileno()])
            elif wish == "leave":
                note("leaves")
                end()
            continue
        try:
            client, _ = (service if number == service.fileno() else own).accept()
        except BlockingIOError:
            continue  # its successor was quicker
        client.setblocking(True)
        client.sendall(f"{name} {os.getpid()}".encode())
        client.close()
