"""Who may talk to whom, as the NetworkPolicies among rendered objects have it."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from kubernetes_objects import of_kind, selects
from kustomizing import Object

_NAMESPACE = "kubernetes.io/metadata.name"
"""The label that every namespace has by itself."""


@dataclass(frozen=True)
class Place:
    """A pod, or with ``address`` something that is no pod of the cluster."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict, hash=False)
    address: str = ""


Port = tuple[int, str]


def may_send(objects: list[Object], source: Place, target: Place, port: Port) -> bool:
    """Whether the policies of who begins a connection let it out."""
    return _admits(objects, "Egress", source, target, port)


def may_hear(objects: list[Object], source: Place, target: Place, port: Port) -> bool:
    """Whether the policies of who is asked let it in."""
    return _admits(objects, "Ingress", target, source, port)


def _admits(objects: list[Object], way: str, subject: Place, peer: Place, port: Port) -> bool:
    if subject.address:
        return True  # policies are of pods
    policies = [
        policy["spec"]
        for policy in of_kind(objects, "NetworkPolicy")
        if policy["metadata"].get("namespace") == subject.namespace
        and way in _types(policy["spec"])
        and _matches(policy["spec"].get("podSelector", {}), subject.labels)
    ]
    if not policies:
        return True  # whom no policy selects is free
    key, side = ("egress", "to") if way == "Egress" else ("ingress", "from")
    return any(
        _has_port(rule, port) and _has_peer(rule.get(side), peer, subject.namespace)
        for policy in policies
        for rule in policy.get(key) or []
    )


def _types(spec: Object) -> list[str]:
    found: list[str] = spec.get("policyTypes") or ["Ingress", *(["Egress"] * ("egress" in spec))]
    return found


def _has_port(rule: Object, port: Port) -> bool:
    ports = rule.get("ports")
    return not ports or any(
        port == (entry.get("port", port[0]), entry.get("protocol", "TCP")) for entry in ports
    )


def _has_peer(peers: list[Object] | None, place: Place, own: str) -> bool:
    return not peers or any(_is_peer(peer, place, own) for peer in peers)


def _is_peer(peer: Object, place: Place, own: str) -> bool:
    if (block := peer.get("ipBlock")) is not None:
        if not place.address:
            return False
        out = [block["cidr"], *block.get("except", [])]
        inside = [ip_address(place.address) in ip_network(cidr) for cidr in out]
        return inside[0] and not any(inside[1:])
    if place.address:
        return False
    if (namespaces := peer.get("namespaceSelector")) is not None:
        there = _matches(namespaces, {_NAMESPACE: place.namespace})
    else:
        there = place.namespace == own
    return there and _matches(peer.get("podSelector", {}), place.labels)


def _matches(selector: Object, labels: dict[str, str]) -> bool:
    if unknown := selector.keys() - {"matchLabels"}:
        raise NotImplementedError(f"a selector with {unknown}")
    return selects(selector.get("matchLabels", {}), labels)
