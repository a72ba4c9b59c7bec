"""What a run is about: how many users, where the server is, which channels there are."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from common.progress import say
from common.rest import Rest
from loading import members
from loading.course import own_stack
from loading.faults import Faults
from loading.profile import Fault, Profile
from loading.scene import prepare

from storm_gateway.stack.stack import Stack
from swarming import plan

SMALL, ROOM, HALL = range(3)
"""Places of a user's channels in the plan, and of their weights."""
_OWNER = "swarm-owner"
_USERS = "load"


@dataclass(frozen=True)
class Options:
    """Of the command line; what all modes have in common."""

    connections: int
    processes: int
    nodes: int = 2
    urls: Sequence[str] = ()
    secret_file: Path | None = None
    by_node: bool = False
    """Connections go to the nodes' own addresses in turn, instead of the one that they share."""
    room_size: int = 1_000
    small_size: int = 10
    open_rate: float = 0.0
    window: int = 0
    payload: int = 100
    settle_seconds: float = 20.0
    every_seconds: float = 1.0
    faults: Sequence[Fault] = ()
    settings: dict[str, str] = field(default_factory=dict)
    channels: Sequence[int] = (SMALL, ROOM, HALL)
    """Which kinds each user has; the first is joined."""
    members: bool = False
    """All are members of their channels before the run, and join none."""

    @property
    def profile(self) -> Profile:
        """For the parts that the runs with k6 have too."""
        few = SMALL not in self.channels
        return Profile(
            connections=self.connections,
            nodes=self.nodes,
            room_size=self.room_size,
            small_size=self.connections if few else self.small_size,
            faults=list(self.faults),
            settings=dict(self.settings),
        )


@dataclass(frozen=True)
class Server:
    """The STORM that is loaded."""

    urls: Sequence[str]
    secret: str
    stack: Stack | None = None
    """When it is ours."""
    faults: Faults | None = None

    @property
    def targets(self) -> list[str]:
        """address:port, as the C program takes them: it asks no name server."""
        found = []
        for url in self.urls:
            parts = urlsplit(url)
            assert parts.hostname is not None  # noqa: S101 looked at before
            found.append(f"{socket.gethostbyname(parts.hostname)}:{parts.port or 80}")
        return found

    @property
    def is_local(self) -> bool:
        return all(target.startswith("127.") for target in self.targets)

    def rest(self) -> Rest:
        return Rest(self.urls[0], plan.signer(self.secret)(_OWNER))


@contextmanager
def server(options: Options, folder: Path) -> Iterator[Server]:
    """The one of ``--url``, or a stack of our own, which ends with it. Raises ``RuntimeError`` and
    ``StackError``.
    """
    if options.urls:
        for url in options.urls:
            parts = urlsplit(url)
            if parts.scheme != "http" or not parts.hostname:
                raise RuntimeError(f"--url {url} should be like http://host:port")
        yield Server(options.urls, _secret(options.secret_file))
        return
    with own_stack(options.profile, folder) as (target, faults):
        stack = target.stack
        assert stack is not None and stack.workers is not None  # noqa: S101, PT018 as it is made
        urls = [f"http://{addr}" for addr in stack.workers.node_addrs]
        yield Server(urls if options.by_node else [target.url], stack.secret, stack, faults)


def _secret(path: Path | None) -> str:
    secret = path.read_text().strip() if path else os.environ.get("STORM_JWT_SECRET", "")
    if not secret:
        raise RuntimeError(
            "--url needs the secret of its tokens: --secret-file or STORM_JWT_SECRET"
        )
    return secret


def write_plan(path: Path, options: Options, server: Server) -> None:
    """Make the channels that are missing, and say who is where."""
    profile = options.profile
    with server.rest() as rest:
        channels = prepare(rest, profile, "swarm", make=True)
    sign = plan.signer(server.secret)
    say(f"signing {options.connections:,} tokens")

    def channels_of(user: int) -> list[int]:
        hall, room, small = channels.of(user, profile.small_size)
        places = {SMALL: small, ROOM: room, HALL: hall}
        return [places[kind] for kind in options.channels]

    if options.members:
        assert server.stack is not None  # noqa: S101 looked at with the command line
        people = (
            members.Person(f"{_USERS}-{user}", channels_of(user))
            for user in range(options.connections)
        )
        members.add(server.stack.postgres.url, people)
    plan.write(
        path,
        options.connections,
        lambda user: sign(f"{_USERS}-{user}"),
        channels_of,
        members=options.members,
    )
