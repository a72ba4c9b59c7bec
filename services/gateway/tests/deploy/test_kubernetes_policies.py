"""The network policies admit names, the three servers and the way in, and nothing else.

Every connection between the places that matter is asked for, on every port that one of them has:
what comes about has to be exactly what an overlay is meant to admit.
"""

import copy
from collections.abc import Callable
from functools import cache
from itertools import product

import pytest
from kubernetes_objects import GATEWAY, MIGRATION, of_kind
from kubernetes_policies import Place, Port, may_hear, may_send
from kustomizing import KUBERNETES, Object, render

PORTS: list[Port] = [
    (port, "TCP") for port in (22, 53, 80, 443, 4222, 5432, 6222, 6379, 8080, 8222, 9090)
] + [(53, "UDP"), (4222, "UDP")]

NAME = "app.kubernetes.io/name"
OUTSIDE = [
    Place("names", "kube-system", {"k8s-app": "kube-dns"}),
    Place("names of the machine", address="169.254.20.10"),
    Place("keys of the cloud", address="169.254.169.254"),
    Place("internet", address="203.0.113.7"),
    Place("another team", "default", {NAME: "storm"}),
    Place("envoy", "envoy-gateway-system", {NAME: "envoy"}),
    Place("ingress", "ingress-nginx", {NAME: "ingress-nginx"}),
    Place("prometheus", "monitoring", {NAME: "prometheus"}),
    Place("grafana", "monitoring", {NAME: "grafana"}),
    Place("their nats", "nats", {NAME: "nats"}),
    Place("their valkey", "valkey", {NAME: "valkey"}),
    Place("their postgres", "postgres", {"cnpg.io/cluster": "postgres"}),
]


def places(namespace: str) -> list[Place]:
    """Those in the namespace of an overlay, with one that nobody planned, and the others."""
    own = {"node": GATEWAY, "migration": MIGRATION, "stranger": {NAME: "debug"}}
    own |= {name: {NAME: name} for name in ("nats", "valkey", "postgres")}
    return [Place(name, namespace, labels) for name, labels in own.items()] + OUTSIDE


Flow = tuple[str, str, int]


@cache
def overlay(name: str) -> list[Object]:
    return render(KUBERNETES / "overlays" / name)


def flows(objects: list[Object]) -> set[tuple[str, *Flow]]:
    """What pods of the namespace may send, and what they may hear. UDP has a minus.

    A connection inside needs both, and each is asked for alone: one end's policies are not to rely
    on the other's.
    """
    (space,) = of_kind(objects, "Namespace")
    namespace = space["metadata"]["name"]
    found = set()
    for source, target, port in product(places(namespace), places(namespace), PORTS):
        if source is target:
            continue
        flow = source.name, target.name, port[0] if port[1] == "TCP" else -port[0]
        if source.namespace == namespace and may_send(objects, source, target, port):
            found.add(("sends", *flow))
        if target.namespace == namespace and may_hear(objects, source, target, port):
            found.add(("hears", *flow))
    return found


OWN = ("node", "migration", "stranger", "nats", "valkey", "postgres")
NAMES: set[Flow] = {
    (source, target, port)
    for source, target, port in product(OWN, ("names", "names of the machine"), (53, -53))
}


def servers(prefix: str) -> set[Flow]:
    return {
        ("node", f"{prefix}nats", 4222),
        ("node", f"{prefix}valkey", 6379),
        ("node", f"{prefix}postgres", 5432),
        ("migration", f"{prefix}postgres", 5432),
    }


def both_ends(connections: set[Flow]) -> set[tuple[str, *Flow]]:
    """What is sent and heard when these, and no others, come about."""
    sent = {("sends", *flow) for flow in connections if flow[0] in OWN}
    return sent | {("hears", *flow) for flow in connections if flow[1] in OWN}


CONNECTIONS: dict[str, set[Flow]] = {
    "dev": NAMES | servers(""),
    "production": NAMES
    | servers("their ")
    | {("envoy", "node", 8080), ("prometheus", "node", 8080)},
    "production-ingress": NAMES
    | servers("their ")
    | {("ingress", "node", 8080), ("prometheus", "node", 8080)},
}
ADMITTED = {name: both_ends(connections) for name, connections in CONNECTIONS.items()}


@pytest.mark.parametrize("name", ADMITTED)
def test_exactly_what_is_needed_may_talk(name: str) -> None:
    found = flows(overlay(name))
    assert found - ADMITTED[name] == set(), "more than is needed"
    assert ADMITTED[name] - found == set(), "too little"


def test_every_overlay_is_looked_at() -> None:
    assert set(ADMITTED) == {path.name for path in (KUBERNETES / "overlays").iterdir()}


def policy(objects: list[Object], name: str) -> Object:
    (found,) = (p for p in of_kind(objects, "NetworkPolicy") if p["metadata"]["name"] == name)
    return found


BREAKAGES: list[tuple[str, str, Callable[[Object], object]]] = [
    ("production", "names", lambda s: s["egress"].clear()),
    ("production", "names", lambda s: s["egress"][0]["ports"].pop()),
    ("production", "names", lambda s: s["egress"][0].pop("ports")),
    ("production", "names", lambda s: s["egress"][0]["to"].pop()),
    ("production", "names", lambda s: s["egress"][0].pop("to")),
    ("production", "nobody", lambda s: s.update(policyTypes=["Egress"])),
    ("production", "nobody", lambda s: s.update(podSelector={"matchLabels": GATEWAY})),
    ("production", "nobody", lambda s: s.update(ingress=[{}])),
    ("production", "storm-to-servers", lambda s: s["egress"].pop()),
    ("production", "storm-to-servers", lambda s: s["egress"].append({})),
    ("production", "storm-to-servers", lambda s: s["egress"][0]["ports"][0].update(port=4223)),
    ("production", "storm-to-servers", lambda s: s["egress"][0]["ports"][0].update(protocol="UDP")),
    (
        "production",
        "storm-to-servers",
        lambda s: s["egress"][0].update(to=[{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
    ),
    ("production", "storm-from-proxy", lambda s: s["ingress"][0].pop("from")),
    (
        "production",
        "storm-from-proxy",
        lambda s: s["ingress"][0]["from"].append({"namespaceSelector": {}}),
    ),
    (
        "production",
        "storm-from-proxy",
        lambda s: s["ingress"][0]["from"].append({"podSelector": {}}),
    ),
    (
        "production",
        "storm-from-prometheus",
        lambda s: s["ingress"][0]["from"][0].pop("podSelector"),
    ),
    ("production", "storm-migration-to-postgres", lambda s: s.update(egress=[])),
    ("production-ingress", "storm-from-proxy", lambda s: s["ingress"][0]["from"].clear()),
    ("dev", "postgres-from-storm", lambda s: s.update(podSelector={})),
    ("dev", "nats-from-storm", lambda s: s["ingress"][0].pop("ports")),
    ("dev", "valkey-from-storm", lambda s: s.update(ingress=[])),
    ("dev", "storm-to-servers", lambda s: s["egress"][1]["to"].append({"podSelector": {}})),
]


@pytest.mark.parametrize(("name", "which", "change"), BREAKAGES)
def test_a_changed_policy_admits_something_else(
    name: str, which: str, change: Callable[[Object], object]
) -> None:
    broken = copy.deepcopy(overlay(name))
    change(policy(broken, which)["spec"])
    assert flows(broken) != ADMITTED[name]


@pytest.mark.parametrize("name", ADMITTED)
def test_every_policy_is_needed(name: str) -> None:
    for each in of_kind(overlay(name), "NetworkPolicy"):
        left = [found for found in overlay(name) if found is not each]
        assert flows(left) != ADMITTED[name], each["metadata"]["name"]
