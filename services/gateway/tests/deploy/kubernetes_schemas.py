# ruff: noqa: S603, S607 what is started here stands in the repository
"""What the schemas of Kubernetes, and of the resources that others add to it, say about objects.

Kubernetes' own: the strict ones of kubernetes-validate, which refuse unknown fields. The Gateway
API, the Prometheus operator and KEDA: schemas/check.mjs.
"""

import json
import subprocess
from pathlib import Path

import kubernetes_validate
from kustomizing import Object

SCHEMAS = Path(__file__).parent / "schemas"
OLDEST = "1.32"
"""The oldest Kubernetes for which the manifests are meant; and the newest that has schemas here."""
NEWEST = "1.37"


def is_builtin(found: Object) -> bool:
    """Whether Kubernetes itself knows the kind: its groups have no name of a domain, or its own."""
    group, _, version = found["apiVersion"].rpartition("/")
    own = ("networking.k8s.io", "storage.k8s.io", "rbac.authorization.k8s.io")
    return not version or "." not in group or group in own


def builtin_faults(found: Object, version: str) -> list[str]:
    """Why a Kubernetes of this version would refuse the object, as far as its schema says."""
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []


def custom_faults(objects: list[Object]) -> list[list[str]]:
    """For each object, why its resource's definition would refuse it. One start for all."""
    ran = subprocess.run(
        ["node", str(SCHEMAS / "check.mjs")],
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    faults: list[list[str]] = json.loads(ran.stdout)
    return faults
