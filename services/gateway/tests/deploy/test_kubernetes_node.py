# ruff: noqa: S603 what is started here stands in the manifests
"""What the manifests start, started: the Job's command and the node's, with the variables and files
that their pods have and no others, judged by the probes of the Deployment.

Only the port and the folder of the secrets are others: here there is one network and one disk.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import websockets.sync.client
from kubernetes_objects import MIGRATION, Pod, dig, environment, gateway, pods
from kustomizing import KUBERNETES, Object, render

from storm_gateway.stack.ports import free_port
from storm_gateway.stack.stack import Stack

OBJECTS = render(KUBERNETES / "overlays/production")
NODE = gateway(OBJECTS)
(JOB,) = pods(OBJECTS, MIGRATION)
(CONTAINER,) = NODE.containers
POD_NAME = "storm-6c9f7d5b8-x2x7q"
STORM = Path(sys.executable).with_name("storm")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), nodes=0) as servers:
        yield servers


def started(pod: Pod, stack: Stack, folder: Path, port: int) -> subprocess.Popen[str]:
    """The pod's command, as a pod of its own has it."""
    (container,) = pod.containers
    mounted = folder / f"{pod.owner['kind']}-secrets"
    mounted.mkdir()
    values = {name.lower(): value for name, value in stack.settings.items()}
    for volume in pod.spec["volumes"]:
        for item in dig(volume, "secret", "items") or []:
            (mounted / item["path"]).write_text(values[item["key"]] + "\n")
    variables = environment(container)
    for entry in container["env"]:
        if dig(entry, "valueFrom", "fieldRef", "fieldPath") == "metadata.name":
            variables[entry["name"]] = POD_NAME
    variables |= {"STORM_SECRETS_DIR": str(mounted), "STORM_DATA_DIR": str(folder / "tmp/storm")}
    if "STORM_ADDR" in variables:
        variables["STORM_ADDR"] = f"127.0.0.1:{port}"
    # What coverage needs comes along; nothing of STORM does.
    kept = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    program, *arguments = container["command"]
    assert program == STORM.name
    return subprocess.Popen(
        [STORM, *arguments],
        env={"PATH": "/usr/bin:/bin", **kept, **variables},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def asks(port: int, probe: str) -> Callable[[], bool]:
    """What the kubelet does: the path of the probe, with its patience."""
    path = dig(CONTAINER, f"{probe}Probe", "httpGet", "path")
    patience = dig(CONTAINER, f"{probe}Probe", "timeoutSeconds")

    def green() -> bool:
        try:
            answer = httpx2.get(f"http://127.0.0.1:{port}{path}", timeout=patience)
        except httpx2.TransportError:
            return False
        return answer.status_code == httpx2.codes.OK

    return green


def until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def budget(probe: Object) -> float:
    seconds: float = probe["periodSeconds"] * probe["failureThreshold"]
    return seconds


def test_the_pods_of_the_manifests_migrate_serve_and_go_in_time(
    stack: Stack, tmp_path: Path
) -> None:
    migration = started(JOB, stack, tmp_path, 0)
    said, _ = migration.communicate(timeout=60)
    assert migration.returncode == 0, said
    assert "the database went from revision none (empty) to" in said

    port = free_port()
    node = started(NODE, stack, tmp_path, port)
    try:
        until(asks(port, "startup"), node, budget(CONTAINER["startupProbe"]))
        until(asks(port, "readiness"), node, 60)
        metrics = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        assert f'storm_active_websockets{{node="{POD_NAME}"}} 0.0' in metrics
        token = storm_token(stack, tmp_path)
        with websockets.sync.client.connect(
            f"ws://127.0.0.1:{port}/ws", additional_headers={"Authorization": f"Bearer {token}"}
        ) as client:
            assert '"hello"' in str(client.recv(timeout=10))
            node.send_signal(signal.SIGTERM)
            # Whoever is there is told to come back, and the drain waits for that.
            with pytest.raises(websockets.ConnectionClosed) as closed:
                list(client)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        before = dig(CONTAINER, "lifecycle", "preStop", "sleep", "seconds")
        said, _ = node.communicate(timeout=NODE.spec["terminationGracePeriodSeconds"] - before)
        assert node.returncode == 0, said
    finally:
        if node.poll() is None:
            node.kill()
            node.communicate()
    # The data folder is for a node alone: with a database nothing is written there.
    assert not (tmp_path / "tmp").exists()


def storm_token(stack: Stack, folder: Path) -> str:
    return subprocess.run(
        [STORM, "token", "alice", "--service"],
        env={"PATH": "/usr/bin:/bin", **stack.settings},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
