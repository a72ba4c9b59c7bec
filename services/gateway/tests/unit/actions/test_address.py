"""Whose address counts, whatever a client writes into its headers."""

import pytest

from storm_gateway.actions.address import (
    client_address,
    is_trusted,
    limit_key,
    parse_networks,
)

PROXIES = parse_networks("10.0.0.0/8, 127.0.0.1, fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        # Nobody is trusted who is not a proxy.
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        # A proxy names its client.
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        # What the client wrote itself stands to the left and is not believed.
        ("10.0.0.1", ["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
        # Several proxies; several headers.
        ("10.0.0.1", ["1.2.3.4, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7", "10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        # What is no address ends the reading at the last hop that is known.
        ("10.0.0.1", ["198.51.100.7, rubbish"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, rubbish, 10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4,"], "10.0.0.1"),
        # The ways to write an address.
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:DB8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", ["010.0.0.1, 198.51.100.7\x00"], "10.0.0.1"),
        # No address at all: a socket file.
        ("", ["1.2.3.4"], ""),
        ("testclient", ["1.2.3.4"], "testclient"),
    ],
)
def test_forwarded_addresses(peer: str, forwarded: list[str], expected: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected


def test_without_proxies_the_header_means_nothing() -> None:
    assert client_address("127.0.0.1", ["1.2.3.4"], parse_networks("")) == "127.0.0.1"


def test_a_mistake_in_the_proxies_is_named() -> None:
    with pytest.raises(ValueError, match="proxy-1"):
        parse_networks("10.0.0.1, proxy-1")


def test_trust_is_by_network() -> None:
    assert is_trusted("10.255.0.1", PROXIES)
    assert is_trusted("::ffff:10.255.0.1", PROXIES)
    assert not is_trusted("11.0.0.1", PROXIES)
    assert not is_trusted("", PROXIES)


def test_an_ipv6_client_is_limited_by_its_network() -> None:
    assert limit_key("2001:db8:1:2:aaaa::1") == limit_key("2001:db8:1:2:bbbb::2")
    assert limit_key("2001:db8:1:2::1") != limit_key("2001:db8:1:3::1")
    assert limit_key("198.51.100.7") == "198.51.100.7"
    assert limit_key("") == ""
