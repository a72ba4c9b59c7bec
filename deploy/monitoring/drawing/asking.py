"""The queries of a dashboard, asked of a Prometheus for a stretch of time."""

import math
import re
from dataclasses import dataclass
from typing import Any

import httpx2

_POINTS = 240
"""Of a line: about as many as a panel is wide."""


@dataclass(frozen=True)
class Line:
    """One series: its name, and its values at times in seconds since 1970."""

    name: str
    times: list[float]
    values: list[float]


class Asker:
    """Asks one Prometheus about one stretch of time."""

    def __init__(self, url: str, begin: float, end: float, interval: float) -> None:
        """``interval``: seconds between two scrapes, as in prometheus.yml."""
        self.begin, self.end = begin, end
        self._step = max(1.0, (end - begin) / _POINTS)
        # Grafana's rule: at least four scrapes, and no hole between two points.
        self._window = max(4 * interval, self._step + interval)
        self._http = httpx2.Client(base_url=f"{url}/api/v1/", timeout=30, trust_env=False)

    def lines(self, target: dict[str, Any]) -> list[Line]:
        """The lines of one query of a panel. Raises ``ValueError`` when it is not understood."""
        expr = target["expr"].replace("$__rate_interval", f"{self._window:.0f}s")
        expr = expr.replace("$node", ".+")
        parameters = {"query": expr, "start": self.begin, "end": self.end, "step": self._step}
        if target["instant"]:
            parameters = {"query": expr, "time": self.end}
        answer = self._http.get("query" if target["instant"] else "query_range", params=parameters)
        body = answer.json()
        if body["status"] != "success":
            raise ValueError(f"{expr}: {body['error']}")
        return [_line(target["legendFormat"], each) for each in body["data"]["result"]]


def _line(legend: str, found: dict[str, Any]) -> Line:
    name = re.sub(r"\{\{(\w+)\}\}", lambda m: found["metric"].get(m[1], ""), legend)
    points = found["values"] if "values" in found else [found["value"]]
    values = [float(value) for _, value in points]
    return Line(
        name, [float(at) for at, _ in points], [v if math.isfinite(v) else math.nan for v in values]
    )
