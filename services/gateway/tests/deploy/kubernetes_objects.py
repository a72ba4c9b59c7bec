"""Finding one's way in rendered objects. What is missing is None, so that a check can say it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kustomizing import Object

from storm_gateway.config import Config

GATEWAY = {"app.kubernetes.io/name": "storm", "app.kubernetes.io/component": "gateway"}
MIGRATION = {"app.kubernetes.io/name": "storm", "app.kubernetes.io/component": "migration"}


def dig(found: Any, *path: str | int) -> Any:
    """What is at the path, or None."""
    for step in path:
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and isinstance(step, int) and step < len(found):
            found = found[step]
        else:
            return None
    return found


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def name_of(found: Object) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


@dataclass(frozen=True)
class Pod:
    """What a Deployment, StatefulSet or Job makes."""

    owner: Object
    labels: dict[str, str]
    spec: Object

    @property
    def name(self) -> str:
        return name_of(self.owner)

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(objects: list[Object], labels: dict[str, str] | None = None) -> list[Pod]:
    """Every pod template, or those with these labels."""
    found = [
        Pod(owner, dig(owner, "spec", "template", "metadata", "labels") or {}, template["spec"])
        for owner in objects
        if (template := dig(owner, "spec", "template")) is not None
    ]
    return [pod for pod in found if selects(labels or {}, pod.labels)]


def gateway(objects: list[Object]) -> Pod:
    """The pod of STORM's nodes."""
    (found,) = pods(objects, GATEWAY)
    return found


def selects(wanted: dict[str, str], labels: dict[str, str]) -> bool:
    return wanted.items() <= labels.items()


def environment(container: Object) -> dict[str, str]:
    """The variables that stand there as they are."""
    return {e["name"]: e["value"] for e in container.get("env", []) if "value" in e}


def strings(found: Any) -> Iterator[str]:
    """Every value that is a text, at any depth."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        for value in found.values():
            yield from strings(value)
    elif isinstance(found, list):
        for value in found:
            yield from strings(value)


def quantity(text: str | float) -> float:
    """Kubernetes' way to write amounts: 512Mi, 1Gi, 250m, 2."""
    units = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    text = str(text)
    for unit in sorted(units, key=len, reverse=True):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * units[unit]
    return float(text)


def setting(objects: list[Object], name: str) -> float:
    """A number among the nodes' settings, as the overlay has it or by default."""
    given = environment(gateway(objects).containers[0]).get(f"STORM_{name.upper()}")
    return float(given if given is not None else Config.model_fields[name].default)


def backends(objects: list[Object]) -> Iterator[tuple[str, int | None]]:
    """Service and port that routes lead to."""
    for route in of_kind(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                yield f"{backend['name']} of {name_of(route)}", backend.get("port")
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield f"{service['name']} of {name_of(ingress)}", dig(service, "port", "number")
