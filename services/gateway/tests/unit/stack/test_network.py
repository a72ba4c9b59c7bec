"""Namespaces and partitions, with real packets between real servers. They need root."""
# ruff: noqa: S603, S607 programs of the machine

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.network import HERE, Network, missing, sweep

LACK = missing()
pytestmark = pytest.mark.skipif(bool(LACK), reason=LACK)

PORT = 7_000
ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    client, _ = server.accept()
    with client:
        client.sendall(b"here")
"""
# The kernel connects, at once or not at all; to answer, the server's process must get its turn.
CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 1) as client:
    client.settimeout(20)
    sys.exit(client.recv(4) != b"here")
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(["a", "b"], aliases=1) as network:
        yield network


@pytest.fixture
def answering(network: Network) -> Iterator[None]:
    """A server in each host, and one at each address of this machine in this network: at all
    addresses, another test of the same port, at the same time, would get its calls.
    """
    places = {
        network.address("a"): network.inside("a"),
        network.address("b"): network.inside("b"),
        network.address(HERE): [],
        network.alias(1): [],
    }
    servers = [
        subprocess.Popen(
            [*before, sys.executable, "-c", ECHO, address, str(PORT)], start_new_session=True
        )
        for address, before in places.items()
    ]
    try:
        deadline = time.monotonic() + 30
        while not all(reaches(network, HERE, address) for address in places):
            assert [server.poll() for server in servers] == [None] * len(servers)
            assert time.monotonic() < deadline
        yield
    finally:
        for server in servers:
            server.kill()
            server.wait()


def reaches(network: Network, source: str, target: str) -> bool:
    address = network.address(target) if target in ("a", "b", HERE) else target
    before = network.inside(source) if source != HERE else []
    ran = subprocess.run(
        [*before, sys.executable, "-c", CALL, address, str(PORT)], check=False, capture_output=True
    )
    return ran.returncode == 0


def interfaces() -> str:
    return subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("answering")
def test_hosts_and_this_machine_reach_each_other_until_they_are_parted(network: Network) -> None:
    assert reaches(network, "a", "b")
    assert reaches(network, "a", HERE)
    network.partition(["a"], ["b"])
    assert not reaches(network, "a", "b")
    assert not reaches(network, "b", "a")
    assert reaches(network, "a", HERE)
    network.heal()
    assert reaches(network, "a", "b")
    assert reaches(network, "b", "a")


@pytest.mark.usefixtures("answering")
def test_one_address_of_this_machine_can_be_lost_and_the_others_stay(network: Network) -> None:
    network.block("a", network.alias(1))
    assert not reaches(network, "a", network.alias(1))
    assert reaches(network, "a", HERE)
    assert reaches(network, "b", network.alias(1))


def test_packets_get_lost_in_one_direction_only(network: Network) -> None:
    """UDP, since TCP needs both ways."""
    listens = (
        "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); "
        "s.bind((sys.argv[1], 7001)); print('up', flush=True); s.settimeout(5); "
        "print(s.recv(9).decode(), flush=True)"
    )
    network.block("a", HERE)
    with subprocess.Popen(
        [*network.inside("a"), sys.executable, "-c", listens, network.address("a")],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.bind((network.address(HERE), 0))
            # To find a's address here, an answer of a is needed; it is known from then on.
            subprocess.run(
                ["ip", "neighbour", "replace", network.address("a"), "lladdr", mac(network),
                 "dev", bridge(network)],
                check=True,
            )  # fmt: skip
            sender.sendto(b"hello", (network.address("a"), 7_001))
        assert process.stdout.readline() == "hello\n"
    # What cannot come back is the other direction.
    with socket.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind((network.address(HERE), 7_002))
        receiver.settimeout(0.5)
        says = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], 7002))"  # noqa: E501
        command = [*network.inside("a"), sys.executable, "-c", says, network.address(HERE)]
        subprocess.run(command, check=True)
        with pytest.raises(TimeoutError):
            receiver.recv(1)
        network.heal()
        subprocess.run(command, check=True)
        assert receiver.recv(1) == b"x"


def mac(network: Network) -> str:
    return subprocess.run(
        [*network.inside("a"), "cat", "/sys/class/net/eth0/address"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def bridge(network: Network) -> str:
    route = subprocess.run(
        ["ip", "route", "get", network.address("a")], check=True, capture_output=True, text=True
    ).stdout.split()
    return route[route.index("dev") + 1]


def test_nothing_is_left_of_a_network_that_was_stopped() -> None:
    network = Network(["a", "b"])
    network.start()
    # By their number: other tests make and remove networks of theirs meanwhile.
    ours = (f"stormb{os.getpid()}:", f"stormv{os.getpid()}-", f"storm-net-{os.getpid()}-")
    there = interfaces()
    assert all(name in there for name in ours)
    network.stop()
    network.stop()
    left = interfaces()
    assert not any(name in left for name in ours)


def test_what_a_killed_owner_left_is_swept_away() -> None:
    makes = (
        "from storm_gateway.stack.network import Network; import os; "
        "Network(['x']).start(); os._exit(9)"
    )
    with subprocess.Popen([sys.executable, "-c", makes]) as killed:
        assert killed.wait() == 9
    # By its number: other tests make and remove networks of theirs meanwhile.
    assert f"stormb{killed.pid}:" in interfaces()
    sweep()
    assert f"stormb{killed.pid}:" not in interfaces()


def test_three_nats_servers_in_hosts_find_each_other(tmp_path: Path) -> None:
    hosts = ["n1", "n2", "n3"]
    with Network(hosts) as network:
        servers = []
        for host in hosts:
            server = NatsServer(
                tmp_path / host,
                password="secret",
                host=network.address(host),
                port=4_222,
                cluster_port=6_222,
                routes=[f"{network.address(other)}:6222" for other in hosts if other != host],
            )
            server.inside = network.inside(host)
            servers.append(server)
        try:
            for server in servers:
                server.start()
            deadline = time.monotonic() + 20
            while not all(routes_of(server) >= 2 for server in servers):
                assert time.monotonic() < deadline, [s.log_path.read_text() for s in servers]
                time.sleep(0.05)
        finally:
            for server in servers:
                server.stop()


def routes_of(server: NatsServer) -> int:
    """How many other servers it tells its clients about."""
    with socket.create_connection((server.host, server.port), 2) as client:
        said = client.recv(4_096).decode()
    urls = said.partition('"connect_urls":[')[2].partition("]")[0]
    return urls.count(":4222") - urls.count(f"{server.host}:4222")
