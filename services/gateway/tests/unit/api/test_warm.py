"""The routes are put together before anybody asks."""

import gc
from pathlib import Path

from starlette.types import Message

from storm_gateway.api.app import warm
from storm_gateway.app import Gateway
from storm_gateway.config import Config

from .test_middleware import HTTP, Server


def made_for_routes() -> int:
    """How many objects FastAPI has made of what routes need: it does so when they are first looked
    for.
    """
    gc.collect()  # those of other tests that have ended
    return sum(type(each).__name__ == "_EffectiveRouteContext" for each in gc.get_objects())


async def test_the_first_request_finds_all_routes_put_together(tmp_path: Path) -> None:
    api = Gateway(Config(data_dir=tmp_path)).make_api()
    cold = made_for_routes()
    await warm(api)
    ready = made_for_routes()
    assert ready > cold + 30
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asked = {**HTTP, "method": "GET", "path": "/healthz", "query_string": b""}
    await api(asked, Server().receive, send)
    assert sent[0]["status"] == 200
    assert made_for_routes() == ready
