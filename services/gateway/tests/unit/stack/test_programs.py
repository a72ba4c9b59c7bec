"""Servers are found in the wheels or on the machine; what is missing is said with what to do."""

import shutil
import sys
from pathlib import Path

import pytest

from storm_gateway.stack import programs
from storm_gateway.stack.errors import StackError
from storm_gateway.stack.stack import Stack


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing; gives a folder where programs are looked for."""
    monkeypatch.setattr(programs, "_inside", lambda package, path: [])
    monkeypatch.setattr(programs, "_scripts", lambda package, name: [])
    monkeypatch.setattr(programs, "_POSTGRES_FOLDERS", ((str(tmp_path / "postgres"), "*/bin"),))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def put(folder: Path, *names: str) -> None:
    """Put programs there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(sys.executable, folder / name)


def test_wheels_of_the_extra_bring_all(tmp_path: Path) -> None:
    assert programs.missing() == []
    for found in (programs.nats_server(), programs.valkey_server(), programs.postgres("initdb")):
        assert Path(found).is_file()


def test_all_that_is_missing_is_said_with_what_to_install(bare: Path) -> None:
    put(bare / "bin", "redis-server")
    with pytest.raises(
        StackError,
        match=r"there is no nats-server, no PostgreSQL on this machine\. pip install 'storm-gate",
    ):
        Stack(bare / "stack").start()


def test_servers_of_the_machine_serve_as_well(bare: Path) -> None:
    put(bare / "bin", "nats-server", "redis-server")
    for version in ("9.6", "18", "15"):
        put(bare / "postgres" / version / "bin", "postgres", "initdb")
    # Newer, but not whole: clients only.
    put(bare / "postgres/19/bin", "initdb")
    assert programs.missing() == []
    assert programs.nats_server() == str(bare / "bin/nats-server")
    assert programs.valkey_server() == str(bare / "bin/redis-server")
    assert programs.postgres("initdb") == str(bare / "postgres/18/bin/initdb")
    with pytest.raises(StackError, match="has no pg_basebackup"):
        programs.postgres("pg_basebackup")


def test_postgres_on_the_path_is_taken_with_what_lies_beside_it(bare: Path) -> None:
    put(bare / "real", "postgres", "initdb")
    (bare / "bin/postgres").symlink_to(bare / "real/postgres")
    assert programs.postgres("initdb") == str(bare / "real/initdb")


def test_valkey_comes_before_redis(bare: Path) -> None:
    put(bare / "bin", "redis-server", "valkey-server")
    assert programs.valkey_server() == str(bare / "bin/valkey-server")
