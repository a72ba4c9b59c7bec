"""The OpenAPI document against the API: schemathesis asks what it allows, and what it does not."""

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import jwt
import pytest
import uvicorn
from api_node import SECRET, Api

SECONDS = 240
EXAMPLES = 4
# These end the very token that a run uses: they get a run and a user of their own.
ENDING = ("delete_me", "delete_user", "update_me", "update_user")


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(
    ("user_id", "choice"),
    [
        ("root", [f"--exclude-operation-id={each}" for each in ENDING]),
        ("alice", [f"--include-operation-id={each}" for each in ENDING]),
    ],
    ids=["all", "ending"],
)
async def test_the_api_is_as_its_document_says(
    tmp_path: Path, user_id: str, choice: list[str]
) -> None:
    api = Api(
        tmp_path / "data",
        jwt_secret=SECRET,
        admins="root",
        commands_per_second=1e6,
        commands_burst=10**6,
    )
    await api.start()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(api.app, lifespan="off", log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    now = time.time()
    claims = {"sub": user_id, "iat": now, "exp": now + SECONDS * 2}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"http://127.0.0.1:{listener.getsockname()[1]}/openapi.json",
        f"--header=Authorization: Bearer {token}",
        f"--max-examples={EXAMPLES}",
        "--checks=all",
        "--continue-on-failure",
        "--seed=1",
        "--generation-database=none",
        "--no-color",
        *choice,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
        # Its own lines are nobody's to count; the API's run in this process.
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await run.communicate()
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
        server.should_exit = True
        await serving
        await api.stop()
    assert run.returncode == 0, output.decode()[-20_000:]
