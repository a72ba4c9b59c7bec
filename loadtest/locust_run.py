"""Users of Locust against STORM, with Locust's web page, or with --headless without it.

Starts a gateway of its own (--nodes 2: so many, with NATS, Valkey and PostgreSQL), or loads one
that runs already: --url, or LOCUST_HOST. Whatever else is given is for Locust: -u users, -r users a
second, -t time, names of user classes; `--locust-help` names all. Exit status 1 when a service
level is missed, 2 when it could not run.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from common.node import Node, free_port
from common.paths import REPOSITORY
from common.progress import say
from common.script import leave_with, make_parser
from loading.course import own_stack
from loading.profile import Profile

from storm_gateway.stack.errors import StackError

LOCUST = REPOSITORY / ".venv" / "locust" / "bin" / "locust"
LOCUSTFILE = REPOSITORY / "loadtest" / "locust" / "locustfile.py"
_SETTINGS = {
    # All users are one machine's: what bounds an address would bound the measurement.
    "STORM_AUTH_RATE_LIMIT_ENABLED": "false",
    "STORM_COMMANDS_PER_SECOND": "1000000",
    "STORM_COMMANDS_BURST": "1000000",
}
_END_SECONDS = 60.0
_INTERRUPTED = 130


@contextmanager
def server(url: str | None, nodes: int) -> Iterator[tuple[str, str]]:
    """Where it is, and its secret. Raises ``RuntimeError``."""
    if url:
        if urlsplit(url).scheme not in ("http", "https"):
            raise RuntimeError(f"--url {url} should begin with http:// or https://")
        secret = os.environ.get("STORM_JWT_SECRET", "")
        if not secret:
            raise RuntimeError("--url needs the secret of that STORM in STORM_JWT_SECRET")
        yield url.rstrip("/"), secret
    elif nodes > 1:
        with tempfile.TemporaryDirectory(prefix="storm-load-") as folder:
            profile = Profile(connections=1, nodes=nodes)
            with own_stack(profile, Path(folder)) as (target, _):
                assert target.secret is not None  # noqa: S101 it is ours
                yield target.url, target.secret
    else:
        with Node(_SETTINGS) as node:
            say(f"a gateway of our own: {node.url}")
            yield node.url, node.secret


def locust(url: str, secret: str, more: list[str]) -> int:
    """Run it; its exit status."""
    command = [str(LOCUST), "-f", str(LOCUSTFILE), "--host", url]
    quiet = any(flag in more for flag in ("--headless", "--worker"))
    if not quiet and "--web-port" not in more and "-P" not in more:
        port = free_port()
        command += ["--web-host", "127.0.0.1", "--web-port", str(port)]
        say(f"Locust's page: http://127.0.0.1:{port}    Ctrl-C ends it")
    running = subprocess.Popen(  # noqa: S603 our own program
        [*command, *more],
        # By the environment: arguments are seen by everybody on the machine.
        env={**os.environ, "STORM_JWT_SECRET": secret},
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C is for us, who pass it on once
    )
    try:
        return running.wait()
    except KeyboardInterrupt:
        # Its own way to end: it counts what was lost, and judges.
        running.send_signal(signal.SIGINT)
        try:
            return running.wait(_END_SECONDS)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            return _INTERRUPTED
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--url", help="a STORM that runs already; the secret of its tokens in STORM_JWT_SECRET"
    )
    parser.add_argument("--nodes", type=int, default=1, help="of our own; default: 1")
    parser.add_argument("--locust-help", action="store_true", help="the options of Locust")
    given, more = parser.parse_known_args(arguments)
    if not LOCUST.exists():
        raise RuntimeError(f"{LOCUST.relative_to(REPOSITORY)} is missing: make locust installs it")
    if given.locust_help:
        help_of = [str(LOCUST), "-f", str(LOCUSTFILE), "--help"]
        return subprocess.run(help_of, check=False).returncode  # noqa: S603 our own program
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with server(given.url or os.environ.get("LOCUST_HOST"), given.nodes) as (url, secret):
            # The gateway's start has put a handler of its own there.
            signal.signal(signal.SIGTERM, _interrupt)
            return locust(url, secret, more)
    except KeyboardInterrupt:
        say("ended by a signal; nothing is left behind")
        return _INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> Any:
    raise KeyboardInterrupt


if __name__ == "__main__":
    leave_with(main, (OSError, RuntimeError, StackError, subprocess.SubprocessError))
