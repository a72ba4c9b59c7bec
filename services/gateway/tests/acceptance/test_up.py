# ruff: noqa: S603 what is started here is ours
"""``storm up``: everything runs after one command, is told about, and ends together."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

WAIT_SECONDS = 90


class Up:
    """One ``storm up`` of a folder, as a process."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "storm_gateway", "up", "--addr", "127.0.0.1:0", *options],
                cwd=folder,
                env=os.environ | settings,
                stdout=out,
                stderr=err,
            )

    @property
    def said(self) -> str:
        return self.out.read_text() + self.err.read_text()

    @property
    def places(self) -> dict[str, str]:
        """What is where, as it was told."""
        told = re.findall(r"^  (all nodes|[\w-]+) +(\S+://\S+)", self.out.read_text(), re.M)
        return dict(told)

    def says(self, text: str) -> None:
        """Wait until it says something."""
        self.until(lambda: text in self.said, f"it says {text!r}")

    def until(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            ended = self.process.poll() is not None
            assert not ended or holds(), (what, self.said, self.logs())
            assert time.monotonic() < deadline, (what, self.said, self.logs())
            time.sleep(0.05)

    def is_up(self) -> "Up":
        self.says("STORM is up")
        return self

    def ends(self, number: signal.Signals | None = None) -> int:
        """The status with which it ends, after a signal."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)

    def pid_of(self, name: str) -> int:
        """Of a server."""
        (path,) = self.folder.glob(f".storm/up/*/{name}.pid")
        return int(path.read_text().split()[0])

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in self.folder.glob(".storm/up/*/*.log"))

    def secrets(self) -> list[str]:
        paths = [*self.folder.glob(".storm/up/*/password"), self.folder / ".storm/up/secret"]
        found = [path.read_text().strip() for path in paths]
        assert len(found) == 4
        return found


def left_under(folder: Path) -> list[int]:
    """Servers and nodes that still run: their logs are there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            log = (entry / "fd/2").readlink()
        except OSError:
            continue
        if log.is_relative_to(folder) and log.suffix == ".log":
            found.append(int(entry.name))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where it runs. At the end nothing may run any more."""
    place = tmp_path / "here"
    place.mkdir()
    yield place
    left = left_under(place)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "something is left running"


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def one(*options: str, **settings: str) -> Up:
        started.append(Up(folder, *options, **settings))
        return started[-1]

    yield one
    for each in started:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
            each.process.send_signal(signal.SIGTERM)
            each.ends()


def test_up_tells_where_everything_is_and_no_secret_and_ends_in_order(
    start: Callable[..., Up], folder: Path
) -> None:
    up = start(STORM_ADMINS="alice").is_up()
    places = up.places
    assert list(places) == ["all nodes", "node-1", "node-2", "nats", "valkey", "postgres"]
    for name in ("node-1", "node-2"):
        assert httpx2.get(f"{places[name]}/readyz").status_code == 200
        assert f'node="{name}"' in httpx2.get(f"{places[name]}/metrics").text
    assert httpx2.get(places["all nodes"]).status_code == 200
    seen = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, check=True)  # noqa: S607
    assert str(folder) in seen.stdout.decode()
    for secret in up.secrets():
        assert secret not in up.said
        assert secret not in up.logs()
        assert secret not in seen.stdout.decode()

    # What its nodes were told, a shell learns from the file.
    asked = [sys.executable, "-m", "storm_gateway"]
    run = f". .storm/up/env && exec {' '.join(asked)} user list"
    listed = subprocess.run(["sh", "-c", run], cwd=folder, capture_output=True, text=True)  # noqa: S607
    assert listed.returncode == 0, listed.stderr

    second = Up(folder / "second", "--data-dir", str(folder / ".storm/up"))
    assert second.ends() == 1
    assert f"is in use by process {up.process.pid}: end that one first" in second.said
    assert httpx2.get(f"{places['node-1']}/readyz").status_code == 200

    assert up.ends(signal.SIGTERM) == 0, up.said
    assert not left_under(folder)
    assert up.said.rstrip().endswith("ended")


def test_a_node_that_is_killed_is_told_of_and_comes_back(
    start: Callable[..., Up], folder: Path
) -> None:
    up = start().is_up()
    log = (folder / ".storm/up/nodes/nodes.log").read_text()
    (pid,) = re.findall(r"node is ready.* node=node-1 .*pid=(\d+)", log)
    os.kill(int(pid), signal.SIGKILL)
    up.says("node-1 ended and is started again: killed by SIGKILL")
    up.says("node-1 is ready again")
    assert httpx2.get(f"{up.places['node-1']}/readyz").status_code == 200
    assert up.said.count("node-1 ended") == 1
    assert "node-2 ended" not in up.said


def test_after_a_kill_the_next_one_ends_what_was_left_and_a_dead_server_ends_all(
    start: Callable[..., Up], folder: Path
) -> None:
    first = start().is_up()
    person = {"user_id": "alice", "password": "correct horse"}
    made = httpx2.post(f"{first.places['node-1']}/auth/register", json=person)
    assert made.status_code == 201
    places, left = first.places, left_under(folder)
    first.ends(signal.SIGKILL)

    second = start().is_up()
    assert second.places == places, "the ports stay"
    assert not set(left) & set(left_under(folder))
    found = httpx2.post(f"{places['node-2']}/auth/login", json=person)
    assert found.status_code == 200, "and so does what was stored"

    os.kill(second.pid_of("valkey"), signal.SIGKILL)
    assert second.ends() == 1
    assert "storm: valkey was killed by SIGKILL." in second.said
    assert not left_under(folder)


def test_ctrl_c_in_the_middle_of_a_start_leaves_nothing(
    start: Callable[..., Up], folder: Path
) -> None:
    up = start()
    up.says("nats       answers")
    assert up.ends(signal.SIGINT) == 0, up.said
    assert not left_under(folder)
    assert "STORM is up" not in up.said


def test_second_ctrl_c_does_not_wait_for_clients(start: Callable[..., Up], folder: Path) -> None:
    up = start("--workers", "1", STORM_DRAIN_SECONDS="600").is_up()
    person = {"user_id": "alice", "password": "correct horse"}
    url = up.places["node-1"]
    httpx2.post(f"{url}/auth/register", json=person)
    token = httpx2.post(f"{url}/auth/login", json=person).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"{url.replace('http', 'ws')}/ws", additional_headers=headers) as client:
        client.recv()
        begin = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        up.says("ending")
        # It is sent away, by and by; a heartbeat may come before.
        while '"reconnect"' not in client.recv(timeout=60):
            pass
        assert up.process.poll() is None
        assert up.ends(signal.SIGINT) == 0, up.said
        assert time.monotonic() - begin < 60


def test_settings_that_cannot_work_are_told_before_anything_starts(
    start: Callable[..., Up], folder: Path
) -> None:
    up = start(STORM_PING_SECONDS="100", STORM_DEAD_SECONDS="50")
    assert up.ends() == 1
    assert "STORM_DEAD_SECONDS must be above STORM_PING_SECONDS" in up.said
    assert not (folder / ".storm").exists()


def test_addresses_of_servers_in_the_environment_are_not_used_and_that_is_said(
    start: Callable[..., Up],
) -> None:
    up = start(STORM_DATABASE_URL="postgresql://a:hidden-word@db/storm")
    up.says("STORM_DATABASE_URL is not used here: storm up starts a server of its own")
    assert "hidden-word" not in up.said
