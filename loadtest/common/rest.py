"""The REST edge, for checks. One user's view."""

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

PAGE = 200
_NODE = re.compile(r'\{node="[^"]*"\}|,node="[^"]*"|(?<=\{)node="[^"]*",')


def read_metrics(metrics: str) -> dict[str, float]:
    """The text of ``/metrics``: name with labels (but for the node's, the same in all) → value."""
    rows = (line.rpartition(" ") for line in metrics.splitlines() if line[:1] != "#")
    return {_NODE.sub("", name): float(value) for name, _, value in rows if name}


class Rest:
    """A user's calls. Raises ``httpx2.HTTPError`` on everything that is not 2xx."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=15
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, **parameters: int) -> Any:
        answer = self._http.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def make_channel(self, name: str) -> int:
        """A public channel; returns its id."""
        return int(self.post("/channels", {"name": name})["id"])

    def channel(self, name: str) -> dict[str, Any]:
        """The channel of this name. Raises ``LookupError``."""
        for found in self.get("/channels"):
            if found["name"] == name:
                return dict(found)
        raise LookupError(f"there is no channel {name!r}")

    def history(self, channel_id: int, after: int = 0) -> list[dict[str, Any]]:
        """All messages after a seq, oldest first, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(f"/channels/{channel_id}/messages", limit=PAGE, after=after)
            found += reversed(page)
            if len(page) < PAGE:
                return found
            after = found[-1]["seq"]

    def metrics(self) -> dict[str, float]:
        """``/metrics``, see :func:`read_metrics`."""
        return read_metrics(self._http.get("/metrics").raise_for_status().text)
