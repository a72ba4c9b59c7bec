"""The composition root refuses what this version cannot do."""

from pathlib import Path

import pytest

from storm_gateway.app import Gateway
from storm_gateway.config import Config


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
