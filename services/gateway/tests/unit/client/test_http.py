import pytest

from storm_gateway.client.errors import (
    AuthenticationError,
    EndedError,
    RefusedError,
    UnreachableError,
)
from storm_gateway.client.http import RestApi, refusal, split_url


@pytest.mark.parametrize(
    ("url", "rest", "websocket"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
        ("http://h/", "http://h", "ws://h/ws"),
        ("https://h", "https://h", "wss://h/ws"),
        ("ws://h/ws", "http://h", "ws://h/ws"),
        ("wss://h/chat/ws/", "https://h/chat", "wss://h/chat/ws"),
        ("http://[::1]:80", "http://[::1]:80", "ws://[::1]:80/ws"),
    ],
)
def test_an_address_may_be_of_the_api_or_of_the_websocket(
    url: str, rest: str, websocket: str
) -> None:
    assert split_url(url) == (rest, websocket)


@pytest.mark.parametrize("url", ["", "ftp://h", "http://", "http://h?token=x", "http://a:b@h"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        split_url(url)


def test_answers_become_errors_that_say_whether_to_try_again() -> None:
    body = b'{"code": "not_found", "message": "No such channel."}'
    found = refusal(404, body, None)
    assert isinstance(found, RefusedError)
    assert (found.code, str(found)) == ("not_found", "No such channel. (not_found)")
    assert isinstance(refusal(401, b"", None), AuthenticationError)
    for status in (429, 500, 502, 503, 504):
        again = refusal(status, b"<html>", "7")
        assert isinstance(again, UnreachableError)
        assert again.retry_after_seconds == 7
    later = refusal(503, b"", "Fri, 31 Dec 1999 23:59:59 GMT")
    assert isinstance(later, UnreachableError)
    assert later.retry_after_seconds is None


def test_an_end_without_a_reason_is_told_by_its_code() -> None:
    assert "no reason" in str(EndedError(4500, ""))
    assert "4500" in str(EndedError(4500, "revoked"))


def test_something_else_than_a_storm_server_is_told() -> None:
    api = RestApi("http://127.0.0.1:1")
    with pytest.raises(UnreachableError, match="does not answer like STORM"):
        api._read(b"<html>", dict[str, str])


async def test_nobody_listening_is_unreachable_without_naming_the_request() -> None:
    async with RestApi("http://127.0.0.1:1") as api:
        with pytest.raises(UnreachableError) as error:
            await api.login("alice", "secret password")
    assert "secret password" not in str(error.value)
