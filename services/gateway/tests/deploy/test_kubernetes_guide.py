"""The guide says what the manifests are: its files and objects exist, its figures are theirs."""

import re

import pytest
from kubernetes_objects import dig, environment, gateway, of_kind, quantity
from kustomizing import KUBERNETES, ROOT, Object, render

GUIDE = (ROOT / "docs/guides/kubernetes.md").read_text("utf-8")
OBJECTS = render(KUBERNETES / "overlays/production")
SHORT = {"job": "Job", "deployment": "Deployment", "service": "Service"}


def missing_files(guide: str) -> list[str]:
    named = re.findall(r"\bdeploy/[\w./-]*\w", guide)
    named += [
        f"deploy/kubernetes/{name}"
        for name in re.findall(r"`((?:base|overlays|components|dependencies)/[\w./-]*\w)", guide)
    ]
    return [name for name in named if not (ROOT / name).exists()]


def missing_objects(guide: str) -> list[str]:
    there = {(found["kind"], found["metadata"]["name"]) for found in OBJECTS}
    named = re.findall(r"\b(job|deployment|service)/([a-z-]+)", guide)
    faults = [f"{kind}/{name}" for kind, name in named if (SHORT[kind], name) not in there]
    labels = re.findall(r"--selector ([\w./]+)=(\w+)", guide)
    return faults + [
        f"{label}={value}"
        for label, value in labels
        if not any(dig(found, "metadata", "labels", label) == value for found in OBJECTS)
    ]


def figures(objects: list[Object]) -> dict[str, str]:
    """What the guide has to say, each in a form that stands in it."""
    pod = gateway(objects)
    (container,) = pod.containers
    (scaler,) = of_kind(objects, "HorizontalPodAutoscaler")
    before = dig(container, "lifecycle", "preStop", "sleep", "seconds")
    given = environment(container)
    drained = before + int(given["STORM_DRAIN_SECONDS"])
    wanted = quantity(dig(scaler, "spec", "metrics", 0, "pods", "target", "averageValue"))
    memory = [
        round(quantity(dig(container, "resources", kind, "memory")) / 2**20)
        for kind in ("requests", "limits")
    ]
    return {
        "SIGTERM": f"| {before} | SIGTERM.",
        "end of the drain": f"| {drained} | all are told",
        "end": f"| {drained + 15} | what was accepted is committed",
        "grace": f"| {pod.spec['terminationGracePeriodSeconds']} | `terminationGracePeriodSeconds`",
        "connections": f"keeps {wanted:,.0f} connections a pod",
        "at most": f"{int(given['STORM_MAX_CONNECTIONS']):,} (`STORM_MAX_CONNECTIONS`)",
        "pods": "between {minReplicas} and {maxReplicas} pods".format(**scaler["spec"]),
        "memory": f"| memory | {memory[0]} Mi | {memory[1] // 1024} Gi |",
        "processor": f"| {quantity(dig(container, 'resources', 'requests', 'cpu'))} | no limit |",
        "leaving": "half an hour"
        if dig(scaler, "spec", "behavior", "scaleDown", "stabilizationWindowSeconds") == 1800
        else "another time",
    }


def test_files_and_objects_of_the_guide_are_there() -> None:
    assert missing_files(GUIDE) == []
    assert missing_objects(GUIDE) == []


def test_checks_see_files_and_objects_that_are_not_there() -> None:
    assert missing_files("`kubectl apply -k deploy/kubernetes/overlays/staging`")
    assert missing_files("`components/keda`")
    assert missing_objects("kubectl rollout status deployment/gateway")
    assert missing_objects("--selector app.kubernetes.io/component=migrate")


@pytest.mark.parametrize("what", figures(OBJECTS))
def test_figures_of_the_guide_are_those_of_the_manifests(what: str) -> None:
    assert figures(OBJECTS)[what] in GUIDE
