# ruff: noqa: S603, S607 what is started here stands in the repository
"""What matters in the manifests holds in every overlay; and each check sees what it is for: a table
of breakages, each of which turns the check that it names red.
"""

import inspect
import os
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import kubernetes_pods
import kubernetes_ports
import kubernetes_rollout
import pytest
import yaml
from kubernetes_breakages import TABLE, Breakage
from kubernetes_objects import dig, pods, strings
from kubernetes_pods import SECRETS
from kustomizing import KUBERNETES, OVERLAYS, ROOT, Object, documents, render

from storm_gateway import app
from storm_gateway.observability.metrics import metric_names
from storm_gateway.stack.programs import nats_server

Check = Callable[[list[Object]], list[str]]
CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (*kubernetes_pods.CHECKS, *kubernetes_rollout.CHECKS, *kubernetes_ports.CHECKS)
}


@cache
def overlay(name: str) -> list[Object]:
    return render(KUBERNETES / "overlays" / name)


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("check", CHECKS)
def test_what_matters_holds(check: str, name: str) -> None:
    assert CHECKS[check](overlay(name)) == []


@pytest.mark.parametrize("breakage", TABLE, ids=lambda b: f"{b.check}-{b.path or b.target}")
def test_check_sees_what_is_broken(breakage: Breakage) -> None:
    assert CHECKS[breakage.check](breakage.of(overlay(breakage.overlay))) != []


def test_no_check_is_without_a_breakage() -> None:
    assert {breakage.check for breakage in TABLE} == set(CHECKS)


# --- what stands beside the overlays ---


def scaled_object() -> Object:
    (found,) = documents(KUBERNETES / "components/autoscaling-keda/scaledobject.yaml")
    return found


def test_the_autoscaler_of_keda_is_as_slow_and_counts_the_same() -> None:
    assert kubernetes_rollout.scaled_object_faults(scaled_object()) == []
    changes: list[Callable[[Object], object]] = [
        lambda spec: spec["triggers"][0]["metadata"].update(query="sum(storm_connections)"),
        lambda spec: spec["triggers"][0]["metadata"].update(threshold="100"),
        lambda spec: spec.pop("advanced"),
    ]
    for change in changes:
        broken = scaled_object()
        change(broken["spec"])
        assert kubernetes_rollout.scaled_object_faults(broken)


def test_the_rule_of_the_adapter_makes_the_metric_that_the_autoscaler_asks_for() -> None:
    (values,) = documents(KUBERNETES / "dependencies/prometheus-adapter.yaml")
    (rule,) = values["rules"]["custom"]
    series = rule["seriesQuery"].partition("{")[0]
    assert series in metric_names()
    assert re.fullmatch(rule["name"]["matches"], series)
    (scaler,) = documents(KUBERNETES / "components/autoscaling/horizontalpodautoscaler.yaml")
    assert rule["name"]["as"] == dig(scaler, "spec", "metrics", 0, "pods", "metric", "name")
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


def test_no_file_of_the_dependencies_holds_a_password() -> None:
    for path in (KUBERNETES / "dependencies").iterdir():
        for found in documents(path):
            assert kubernetes_pods.no_secret_values([found | {"kind": "", "metadata": {}}]) == []
            for text in strings(found):
                assert "password:" not in text.lower(), path


def test_servers_of_dev_are_those_of_compose() -> None:
    """One version to know: what is tried with Docker is what is tried on a cluster."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    wanted = {name: compose["services"][name]["image"] for name in ("nats", "valkey", "postgres")}
    found = {
        pod.owner["metadata"]["name"]: pod.containers[0]["image"]
        for pod in pods(overlay("dev"))
        if pod.owner["metadata"]["name"] in wanted
    }
    assert found == wanted


def test_figures_are_those_of_the_documents() -> None:
    sizing = (ROOT / "docs/operations.md").read_text("utf-8")
    assert "| memory of an idle node of several | 93 MB |" in sizing
    assert kubernetes_pods.IDLE_BYTES == 93e6
    held = (ROOT / "docs/load-tests/hold-100k.md").read_text("utf-8")
    assert "**22 KB**" in held
    assert kubernetes_pods.CONNECTION_BYTES == 22e3


def test_the_wait_for_requests_is_that_of_the_node() -> None:
    wait = re.findall(r"timeout_graceful_shutdown=(\d+)", inspect.getsource(app))
    assert wait == [str(kubernetes_rollout.REQUESTS_SECONDS)]


def test_nats_of_dev_takes_its_configuration(tmp_path: Path) -> None:
    (config,) = (f for f in overlay("dev") if f["kind"] == "ConfigMap")
    path = tmp_path / "nats.conf"

    def taken() -> bool:
        return (
            subprocess.run([nats_server(), "-t", "-c", path], capture_output=True).returncode == 0
        )

    path.write_text(config["data"]["nats.conf"])
    assert taken()
    path.write_text(config["data"]["nats.conf"].replace("max_payload", "max_playload"))
    assert not taken()


def test_the_script_makes_the_secrets_that_the_pods_of_dev_mount(tmp_path: Path) -> None:
    """With a kubectl that writes down what it is told."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "# $@" >> {tmp_path}/said\ncat >> {tmp_path}/said\n')
    kubectl.chmod(0o755)
    ran = subprocess.run(
        ["sh", KUBERNETES / "overlays/dev/secrets.sh"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout + ran.stderr == ""
    said: dict[str, dict[str, str]] = {}
    for part in (tmp_path / "said").read_text().split("# ")[1:]:
        command, *values = part.splitlines()
        assert "--namespace storm-dev" in command
        name = command.removeprefix("create secret generic ").split()[0]
        said[name] = dict(line.split("=", 1) for line in values)
    mounted = {
        volume["secret"]["secretName"]: {item["key"] for item in volume["secret"]["items"]}
        for pod in pods(overlay("dev"), None)
        if pod.owner["kind"] != "Job"
        for volume in pod.spec.get("volumes", [])
        if "secret" in volume
    }
    assert {name: set(values) for name, values in said.items()} == mounted
    assert mounted["storm"] == SECRETS
    storm, password = said["storm"], said["postgres"]["password"]
    assert re.fullmatch(r"[0-9a-f]{64}", password)
    assert re.fullmatch(r"[0-9a-f]{64}", storm["storm_jwt_secret"])
    assert storm["storm_jwt_secret"] != password
    assert storm["storm_database_url"] == f"postgresql://storm:{password}@postgres:5432/storm"
