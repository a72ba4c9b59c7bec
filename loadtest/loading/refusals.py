"""Whom the nodes refused, by node and status: k6 says "bad handshake" to everything but 101."""

import re
from collections.abc import Callable

import httpx2
from common.rest import read_metrics

_COUNTERS = {
    "storm_handshakes_refused_total": "handshakes",
    "storm_requests_refused_total": "requests",
}
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_ASK_SECONDS = 2.0
"""A node that stands still holds up nobody for longer."""

Counts = dict[tuple[str, str], float]
"""By kind (handshakes, requests), and status and reason."""


def counts_of(text: str) -> Counts:
    """What a node's ``/metrics`` says of refusals."""
    found: Counts = {}
    for figure, value in read_metrics(text).items():
        name, _, labels = figure.partition("{")
        if (kind := _COUNTERS.get(name)) is not None:
            said = dict(_LABEL.findall(labels))
            found[kind, f"{said['status']} {said.get('reason', '')}".strip()] = value
    return found


def _ask(addr: str) -> str:
    return httpx2.get(f"http://{addr}/metrics", timeout=_ASK_SECONDS).raise_for_status().text


class Refusals:
    """Of nodes with these addresses. A node that was replaced counts from 0 again: what its
    predecessor had counted since the look before is not known, all else is added up.
    """

    def __init__(self, addrs: list[str], ask: Callable[[str], str] = _ask) -> None:
        self._addrs = addrs
        self._ask = ask
        self._before: dict[str, Counts] = {addr: {} for addr in addrs}
        self._sums: dict[str, Counts] = {addr: {} for addr in addrs}

    def look(self) -> None:
        """Ask each node; one that does not answer is asked the next time."""
        for addr in self._addrs:
            try:
                now = counts_of(self._ask(addr))
            except httpx2.HTTPError:
                continue
            before, sums = self._before[addr], self._sums[addr]
            for key, value in now.items():
                had = before.get(key, 0)
                sums[key] = sums.get(key, 0) + (value - had if value >= had else value)
            self._before[addr] = now

    def rows(self) -> list[tuple[str, int]]:
        """``node 3: handshakes refused with 503 full``, and how many."""
        return [
            (f"node {number}: {kind} refused with {why}", int(count))
            for number, sums in enumerate(self._sums.values(), start=1)
            for (kind, why), count in sorted(sums.items())
            if count
        ]
