"""Channels made, and counters read, over the REST API of a node."""

import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from storm_gateway.capacity.errors import CapacityError

_THREADS = 16
"""So that a commit holds several."""
_ANSWER_SECONDS = 10


class _Channel(msgspec.Struct):
    id: int


def make_channels(host: str, port: int, token: str, names: Sequence[str]) -> list[int]:
    """Public channels, in the order of their names. Blocks. Raises :class:`CapacityError`."""
    portions = [names[start::_THREADS] for start in range(min(_THREADS, len(names)))]
    with ThreadPoolExecutor(len(portions)) as pool:
        made = list(pool.map(lambda portion: _make(host, port, token, portion), portions))
    found = dict(pair for part in made for pair in part)
    return [found[name] for name in names]


def _make(host: str, port: int, token: str, names: Sequence[str]) -> list[tuple[str, int]]:
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    made = []
    try:
        for name in names:
            body = msgspec.json.encode({"name": name})
            connection.request("POST", "/channels", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise CapacityError(f"the node does not make channels: {answer.status}")
            made.append((name, msgspec.json.decode(text, type=_Channel).id))
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
        raise CapacityError(f"the node does not make channels: {error}") from None
    finally:
        connection.close()
    return made


class Counters(msgspec.Struct, frozen=True):
    """What a node has done since its start."""

    commits: float
    deliveries: float
    writes: float

    def since(self, before: "Counters") -> "Counters":
        """What it did between the two."""
        return Counters(
            self.commits - before.commits,
            self.deliveries - before.deliveries,
            self.writes - before.writes,
        )


def counters(host: str, port: int) -> Counters:
    """From its metrics. Blocks. Raises :class:`CapacityError`."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise CapacityError(f"the node does not tell its metrics: {error}") from None
    finally:
        connection.close()
    return Counters(
        _value(text, "storm_commit_writes_count"),
        _value(text, "storm_deliveries_total"),
        _value(text, "storm_writes_total"),
    )


def _value(text: str, name: str) -> float:
    found = [
        line.split()[-1] for line in text.splitlines() if line.startswith((name + " ", name + "{"))
    ]
    return sum(map(float, found))
