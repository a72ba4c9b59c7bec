"""The REST API of one node, without sockets."""

from pathlib import Path
from typing import Any

import httpx2
from actions_node import PASSWORD, SECRET, Node

from storm_gateway.api.app import make_api
from storm_gateway.config import Config
from storm_gateway.limits.local import LocalLimits
from storm_gateway.presence.base import PresenceSnapshot

__all__ = ["ORIGIN", "PASSWORD", "SECRET", "Api", "refusal"]
ORIGIN = "http://localhost:5173"


class Api(Node):
    """A node with a REST edge. Its health is what the tests say it is."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        settings.setdefault("auth_rate_limit_enabled", False)
        settings.setdefault("admins", "root")
        super().__init__(Config(data_dir=data_dir, **settings))
        self.bus_connected = True
        self.reasons: list[str] = []
        self.present = PresenceSnapshot(0, [])
        self.clients: list[httpx2.AsyncClient] = []
        self.app = make_api(
            self.actions,
            config=self.config,
            metrics=self.metrics,
            health=self,
            presence=self.look,
            limits=LocalLimits(),
        )

    async def look(self, channel_id: int) -> PresenceSnapshot:
        return self.present

    async def ready(self) -> list[str]:
        return self.reasons

    async def stop(self) -> None:
        for client in self.clients:
            await client.aclose()
        await super().stop()

    def client(
        self, address: str = "127.0.0.1", *, base_url: str = "http://storm.example", **more: Any
    ) -> httpx2.AsyncClient:
        """A client of its own address and cookies. Faults of the server are not hidden."""
        transport = httpx2.ASGITransport(self.app, client=(address, 50_000))
        made = httpx2.AsyncClient(transport=transport, base_url=base_url, **more)
        self.clients.append(made)
        return made

    async def user(self, user_id: str) -> httpx2.AsyncClient:
        """A new user's client, with an access token in its header."""
        await self.make(user_id)
        login = await self.login(user_id)
        return self.client(headers={"Authorization": f"Bearer {login.access_token}"})


def refusal(response: httpx2.Response) -> tuple[int, str]:
    """(status, code) of an answer that must be a proper refusal."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) <= {"code", "message", "retry_after_ms"}
    assert body["message"].endswith(".") or ":" in body["message"], body
    return response.status_code, body["code"]
