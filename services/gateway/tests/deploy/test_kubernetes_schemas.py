# ruff: noqa: S603, S607 what is started here stands in the repository
"""Every object of every overlay is one that the schemas of its resource allow, without a field that
they do not know.
"""

import copy
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from itertools import chain

import pytest
import yaml
from kubernetes_schemas import (
    NEWEST,
    OLDEST,
    SCHEMAS,
    builtin_faults,
    custom_faults,
    is_builtin,
)
from kustomizing import COMPONENTS, KUBERNETES, OVERLAYS, ROOT, Object, documents, identity, render

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (SCHEMAS / "node_modules").is_dir(),
    reason="the schemas of the Gateway API come with npm: make test installs them",
)


@cache
def everything() -> list[Object]:
    """Each different object of all overlays, and of the components that no overlay takes."""
    overlays = [render(KUBERNETES / "overlays" / name) for name in OVERLAYS]
    files = chain.from_iterable(
        (KUBERNETES / "components" / name).glob("*.yaml") for name in COMPONENTS
    )
    whole = ("Deployment", "Kustomization", "Component")  # patches of a Deployment are none
    loose = [[o for o in documents(path) if o["kind"] not in whole] for path in sorted(files)]
    found: list[Object] = []
    for each in chain.from_iterable([*overlays, *loose]):
        if each not in found:
            found.append(each)
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_allows_every_object(version: str) -> None:
    objects = [found for found in everything() if is_builtin(found)]
    assert len(objects) > 25
    faults = {identity(found): builtin_faults(found, version) for found in objects}
    assert {name: found for name, found in faults.items() if found} == {}


def one(kind: str) -> Object:
    return copy.deepcopy(next(found for found in everything() if found["kind"] == kind))


def spec(*path: str | int) -> Callable[[Object], Object]:
    def reach(found: Object) -> Object:
        node = found["spec"]
        for step in path:
            node = node[step]
        inner: Object = node
        return inner

    return reach


POD = ("template", "spec")
CONTAINER = (*POD, "containers", 0)


@pytest.mark.parametrize(
    ("kind", "where", "change"),
    [
        ("Deployment", spec(*POD), {"terminationGracePeriod": 75}),
        ("Deployment", spec(*POD), {"terminationGracePeriodSeconds": "75"}),
        ("Deployment", spec(*CONTAINER), {"readinessprobe": {}}),
        ("Deployment", spec(*CONTAINER, "lifecycle", "preStop"), {"sleep": 10}),
        ("Deployment", spec(*CONTAINER, "securityContext"), {"readOnlyRootFileSystem": True}),
        ("NetworkPolicy", spec(), {"policyType": ["Egress"]}),
        ("HorizontalPodAutoscaler", spec("behavior", "scaleDown"), {"periodSeconds": 300}),
        ("Ingress", spec("rules", 0, "http", "paths", 0, "backend"), {"serviceName": "storm"}),
        ("PodDisruptionBudget", spec(), {"minUnavailable": 1}),
    ],
)
def test_schemas_refuse_what_kubernetes_would_ignore_or_refuse(
    kind: str, where: Callable[[Object], Object], change: Object
) -> None:
    broken = one(kind)
    assert builtin_faults(broken, NEWEST) == []
    where(broken).update(change)
    assert builtin_faults(broken, NEWEST)


def test_a_kind_without_a_schema_is_a_fault() -> None:
    unknown = {"apiVersion": "apps/v1", "kind": "Deploymint", "metadata": {"name": "x"}}
    assert builtin_faults(unknown, NEWEST)


def rules_for_the_operator() -> list[Object]:
    """The alerts as resources, as the script prints them."""
    script = ROOT / "deploy/monitoring/prometheus/for-operator.sh"
    said = subprocess.run(["sh", script], capture_output=True, text=True, check=True).stdout
    return list(yaml.safe_load_all(said))


RULE = ("rules", 0)
BROKEN_CUSTOM: list[tuple[str, Callable[[Object], Object], Object]] = [
    ("HTTPRoute", spec(*RULE), {"timeout": {"request": "0s"}}),
    ("HTTPRoute", spec(*RULE, "timeouts"), {"request": "1 hour"}),
    ("HTTPRoute", spec(*RULE, "timeouts"), {"idle": "1h"}),
    ("HTTPRoute", spec(*RULE, "matches", 0, "path"), {"type": "Exactly"}),
    ("HTTPRoute", spec(*RULE, "backendRefs", 0), {"port": "8080"}),
    ("Gateway", spec("listeners", 1), {"protocoll": "HTTPS"}),
    ("Gateway", spec("listeners", 1, "tls"), {"mode": "Terminated"}),
    ("PodMonitor", spec("podMetricsEndpoints", 0), {"paths": "/metrics"}),
    ("PodMonitor", spec("podMetricsEndpoints", 0), {"interval": "often"}),
    ("ScaledObject", spec(), {"maxReplicas": 9}),
    ("ScaledObject", spec("triggers", 0), {"type": 1}),
]


@needs_node
def test_the_gateway_api_and_the_operators_allow_every_object_and_refuse_broken_ones() -> None:
    """In one start of the checker, which takes two seconds."""
    objects = [found for found in everything() if not is_builtin(found)] + rules_for_the_operator()
    kinds = {"Gateway", "HTTPRoute", "PodMonitor", "ScaledObject", "PrometheusRule"}
    assert {found["kind"] for found in objects} == kinds
    broken = [one(kind) for kind, _, _ in BROKEN_CUSTOM]
    for found, (_, where, change) in zip(broken, BROKEN_CUSTOM, strict=True):
        where(found).update(change)
    unknown = {"apiVersion": "example.org/v1", "kind": "Route", "metadata": {"name": "x"}}
    mistyped = one("HTTPRoute") | {"kind": "HTTPRouter"}
    faults = custom_faults([*objects, *broken, unknown, mistyped])
    assert [found for found in faults[: len(objects)] if found] == []
    unseen = [
        change
        for found, change in zip(
            faults[len(objects) :], [*BROKEN_CUSTOM, unknown, mistyped], strict=True
        )
        if not found
    ]
    assert unseen == []
