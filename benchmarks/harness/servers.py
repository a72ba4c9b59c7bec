"""The servers that are compared, and how each is started."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import prepare
from harness.dialects import PLAIN, SOCKETIO, Dialect
from harness.paths import LOGS, PEERS, REPOSITORY
from harness.processes import free_port, running, wait_until_ready


@dataclass(frozen=True)
class Start:
    """How one server process is started."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    ready_path: str | None = None


@dataclass(frozen=True)
class Server:
    """One column of the comparison."""

    key: str
    title: str
    start: Callable[[int, Path, str], Start]
    """Port, folder for data, secret of the tokens."""
    install: Callable[[], object] = lambda: None
    """Raises ``prepare.UnavailableError`` for a peer that this machine cannot have."""
    dialect: Dialect = PLAIN


def storm_python() -> str | None:
    """The Python that has STORM: this one, or the one in the repository's ``.venv``."""
    if importlib.util.find_spec("storm_gateway"):
        return sys.executable
    own = REPOSITORY / ".venv" / "bin" / "python"
    return str(own) if own.exists() else None


def _storm(port: int, data: Path, secret: str) -> Start:
    python = storm_python()
    if python is None:
        raise RuntimeError("STORM is not installed in this Python; run 'make install' first")
    return Start(
        [python, "-m", "storm_gateway", "serve"],
        {
            "STORM_ADDR": f"127.0.0.1:{port}",
            "STORM_DATA_DIR": str(data),
            "STORM_JWT_SECRET": secret,
            "STORM_AUTH_RATE_LIMIT_ENABLED": "false",
            # The senders of the durable load are a hundred times faster than people.
            "STORM_COMMANDS_PER_SECOND": "1000000",
            "STORM_COMMANDS_BURST": "1000000",
        },
        ready_path="/readyz",
    )


def _on_uvicorn(app: str, port: int, secret: str) -> Start:
    return Start(
        [
            str(prepare.peer_python()),
            *("-m", "uvicorn", app, "--app-dir", str(PEERS)),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio"),
            *("--ws-per-message-deflate", "false", "--no-access-log", "--log-level", "warning"),
        ],
        {"BENCH_JWT_SECRET": secret},
    )


def _fastapi(port: int, _data: Path, secret: str) -> Start:
    return _on_uvicorn("fastapi_app:app", port, secret)


def _python_socketio(port: int, _data: Path, secret: str) -> Start:
    return _on_uvicorn("socketio_app:app", port, secret)


def _websockets(port: int, _data: Path, secret: str) -> Start:
    program = PEERS / "websockets_server.py"
    return Start(
        [str(prepare.peer_python()), str(program), str(port)], {"BENCH_JWT_SECRET": secret}
    )


def _on_node(program: str, port: int, secret: str) -> Start:
    return Start(
        [prepare.node_modules(), str(PEERS / program), str(port)],
        {"BENCH_JWT_SECRET": secret, "NODE_ENV": "production"},
    )


def _ws(port: int, _data: Path, secret: str) -> Start:
    return _on_node("ws_server.mjs", port, secret)


def _socketio(port: int, _data: Path, secret: str) -> Start:
    return _on_node("socketio_server.mjs", port, secret)


def _gorilla(port: int, _data: Path, secret: str) -> Start:
    return Start([str(prepare.gorilla_server()), str(port)], {"BENCH_JWT_SECRET": secret})


def _limit(port: int, _data: Path, _secret: str) -> Start:
    return Start([str(prepare.limit_server()), str(port)])


SERVERS = {
    server.key: server
    for server in (
        Server("c", "C, epoll (the limit)", _limit),
        Server("storm", "STORM", _storm),
        Server("gorilla", "Go, gorilla/websocket", _gorilla, prepare.gorilla_server),
        Server("ws", "Node, `ws`", _ws, prepare.node_modules),
        Server("socketio", "Node, Socket.IO", _socketio, prepare.node_modules, SOCKETIO),
        Server("websockets", "Python, `websockets`", _websockets, prepare.peer_python),
        Server("fastapi", "FastAPI on uvicorn", _fastapi, prepare.peer_python),
        Server(
            "python-socketio",
            "python-socketio on uvicorn",
            _python_socketio,
            prepare.peer_python,
            SOCKETIO,
        ),
    )
}
LIMIT = "c"
# ``make bench`` watches STORM itself and needs few others; ``make bench-peers`` takes all.
PEER_KEYS = ("ws", "websockets", "fastapi")
ALL_PEER_KEYS = tuple(key for key in SERVERS if key not in (LIMIT, "storm"))


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    server: Server
    pid: int
    port: int
    data: Path


@contextmanager
def started(server: Server, data: Path, secret: str, *, cpu: int) -> Iterator[Running]:
    """The server, ready for clients; ended when the block is left."""
    port = free_port()
    start = server.start(port, data, secret)
    log = LOGS / f"{data.name}.log"
    with running(
        start.command, cpu=cpu, log=log, environment=start.environment, folder=data
    ) as process:
        try:
            wait_until_ready(process, port, start.ready_path)
        except RuntimeError as error:
            last = log.read_text().strip().rpartition("\n")[2]
            raise RuntimeError(f"{error}: {last}") from None
        yield Running(server, process.pid, port, data)
