"""Every peer that is installed does the job: checks the token, joins the room, sends to all."""
# ruff: noqa: S101 tests assert

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import prepare
from harness.client import load_client
from harness.paths import BUILD, PEERS, VENV
from harness.servers import ALL_PEER_KEYS, SERVERS, started
from harness.tokens import write_tokens

SECRET = "s" * 32
CPU = min(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
# Tests install nothing: what is not there yet is skipped.
INSTALLED: dict[Callable[[], object], Path] = {
    prepare.peer_python: VENV / ".installed",
    prepare.node_modules: PEERS / "node_modules" / ".installed",
    prepare.gorilla_server: BUILD / "gorilla_room",
}

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


@pytest.mark.parametrize("key", ALL_PEER_KEYS)
def test_a_peer_delivers_to_all_who_have_a_token_and_to_nobody_else(
    key: str, tmp_path: Path
) -> None:
    server = SERVERS[key]
    if not INSTALLED[server.install].exists():
        pytest.skip("not installed; 'make bench-peers' does it")
    program = prepare.load_client(tmp_path)
    write_tokens(tmp_path / "good", SECRET, 20)
    write_tokens(tmp_path / "bad", "x" * 32, 3)
    data = tmp_path / f"test-{key}"
    data.mkdir()
    with started(server, data, SECRET, cpu=CPU) as process:
        port, dialect = process.port, server.dialect
        with (
            load_client(program, port, tmp_path / "bad", cpu=CPU, dialect=dialect) as client,
            pytest.raises(RuntimeError, match="only 0 of 3"),
        ):
            client.open(3)
        with load_client(program, port, tmp_path / "good", cpu=CPU, dialect=dialect) as client:
            client.open(20)
            burst = client.burst(4, 0.1)
            paced = client.pace(50, 0.2)
            state = client.state()
    assert burst["deliveries"] == burst["bursts"] * 4 * 20
    assert (paced["sent"], paced["deliveries"]) == (10, 200)
    assert 120 <= burst["frame_bytes"] <= 145  # the same fields as STORM's
    assert (state["errors"], state["closed_by_server"]) == (0, 0)
