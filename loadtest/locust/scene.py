"""The channels that the users are in: a hall, rooms, small rooms. Found by name, or made."""

import time
from dataclasses import dataclass
from typing import Any

import jwt
import requests

_TIMEOUT_SECONDS = 15.0
_TOKEN_SECONDS = 24 * 3_600
_SKEW_SECONDS = 5


class SceneError(Exception):
    """Why the channels are not there, and what to do."""


@dataclass(frozen=True)
class Channels:
    """Their ids."""

    hall: int
    rooms: list[int]
    smalls: list[int]


def mint(secret: str, user_id: str) -> str:
    """An access token as another back end makes it: HS256 with the secret of the deployment."""
    now = int(time.time()) - _SKEW_SECONDS
    return jwt.encode({"sub": user_id, "iat": now, "exp": now + _TOKEN_SECONDS}, secret, "HS256")


class Scene:
    """The REST edge, as the owner of the channels sees it."""

    def __init__(self, host: str, secret: str, name: str) -> None:
        self.host = host.rstrip("/")
        self.name = name
        self._secret = secret
        self._http = requests.Session()
        # Straight to the server: a proxy on the way would be measured, too.
        self._http.trust_env = False
        self._http.headers["Authorization"] = f"Bearer {mint(secret, f'{name}-owner')}"

    @property
    def websocket(self) -> str:
        return "ws" + self.host.removeprefix("http") + "/ws"

    def token(self, number: int) -> str:
        return mint(self._secret, self.user(number))

    def user(self, number: int) -> str:
        return f"{self.name}-{number}"

    def channels(self, rooms: int, smalls: int) -> Channels:
        """Find them, and make those that are missing. Raises :class:`SceneError`."""
        names = [
            f"{self.name}-hall",
            *(f"{self.name}-room-{number}" for number in range(rooms)),
            *(f"{self.name}-small-{number}" for number in range(smalls)),
        ]
        found = {each["name"]: int(each["id"]) for each in self._call("GET", "/channels")}
        for name in names:
            if name not in found:
                found[name] = int(self._call("POST", "/channels", {"name": name})["id"])
        ids = [found[name] for name in names]
        return Channels(ids[0], ids[1 : 1 + rooms], ids[1 + rooms :])

    def heads(self) -> dict[int, int]:
        """The newest seq of every channel, by the store. Raises :class:`SceneError`."""
        return {int(each["id"]): int(each["head"]) for each in self._call("GET", "/channels")}

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        try:
            answer = self._http.request(
                method, self.host + path, json=body, timeout=_TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            why = type(error).__name__
            raise SceneError(f"{self.host} does not answer ({why}): is STORM there?") from None
        if answer.status_code == 401:
            raise SceneError(f"{self.host} refuses the token: STORM_JWT_SECRET is not its secret")
        if not answer.ok:
            raise SceneError(
                f"{method} {self.host}{path}: {answer.status_code} {answer.text[:200]}"
            )
        return answer.json()
