"""The composition root refuses what this version cannot do, and puts the parts to work."""

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI

from storm_gateway import app
from storm_gateway.app import Gateway
from storm_gateway.config import Config
from storm_gateway.observability.memory import LOOKS


@pytest.mark.parametrize("name", ["nats_url", "redis_url"])
def test_half_a_cluster_is_refused_and_told_all_that_it_still_needs(
    tmp_path: Path, name: str
) -> None:
    config = Config(data_dir=tmp_path, **{name: "somewhere://127.0.0.1"})
    with pytest.raises(ValueError, match="several nodes need more") as refusal:
        Gateway(config)
    for needed in ("nats_url", "redis_url", "database_url", "jwt_secret"):
        assert (f"STORM_{needed.upper()}" in str(refusal.value)) == (needed != name)


@pytest.mark.parametrize(
    "prefix", ["channels.", "channels.a", "c", "nodes", "n", "nodes.", "can", "canary.x"]
)
def test_streams_cannot_be_given_the_subjects_of_channels_and_nodes(prefix: str) -> None:
    with pytest.raises(ValueError, match="stream_prefix"):
        Config(stream_prefix=prefix)


def test_a_trusted_proxy_that_is_no_network_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="'proxy'"):
        Config(trusted_proxies="10.0.0.0/8, proxy")


def test_a_node_whose_crowd_has_left_makes_what_it_holds_by_connection_anew(tmp_path: Path) -> None:
    gateway = Gateway(Config(data_dir=tmp_path))
    edge, hub = gateway.edge, gateway.hub

    def tables() -> list[object]:
        return [
            edge.admission._addresses,
            *edge.wheel._buckets,
            hub._users,
            hub._feeds,
        ]

    before = tables()
    for connections in (10_000, *[0] * (LOOKS + 1)):
        gateway._trimmer.look(connections)
    assert all(new is not old for new, old in zip(tables(), before, strict=True))


async def test_the_routes_are_put_together_before_the_node_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(Config(addr="127.0.0.1:0", data_dir=tmp_path))
    warmed = app.warm
    served: list[bool] = []

    async def warm(api: FastAPI) -> None:
        assert gateway._server is not None
        served.append(gateway._server.started)
        await warmed(api)

    monkeypatch.setattr(app, "warm", warm)
    serving = asyncio.create_task(gateway.serve(gateway.listen()))
    async with asyncio.timeout(20):
        while gateway._server is None or not gateway._server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    gateway.end()
    await serving
    assert served == [False]
