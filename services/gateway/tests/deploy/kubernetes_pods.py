"""What has to hold for the pods of every overlay: each check gives the list of its faults."""

import re
from typing import get_args

import typer
from kubernetes_objects import (
    GATEWAY,
    MIGRATION,
    dig,
    environment,
    gateway,
    name_of,
    of_kind,
    pods,
    quantity,
    selects,
    strings,
)
from kustomizing import Object
from pydantic import SecretStr, ValidationError

from storm_gateway.cli.main import app as command_line
from storm_gateway.config import Config

SECRETS = {"storm_jwt_secret", "storm_database_url", "storm_nats_url", "storm_redis_url"}
"""Settings that hold a secret or a password; several nodes need all of them."""
STAND_INS = {"STORM_JWT_SECRET": "x" * 32, "STORM_DATABASE_URL": "postgresql://u:p@h/d"} | {
    "STORM_NATS_URL": "nats://h:4222",
    "STORM_REDIS_URL": "redis://h:6379/0",
}
"""Stand-ins for what the Secret brings."""

IDLE_BYTES = 93e6
"""docs/operations.md, Sizing: an idle node of several."""
CONNECTION_BYTES = 22e3
"""docs/load-tests/hold-100k.md: all memory of a connection, with the kernel's and both ends'."""


def not_root(objects: list[Object]) -> list[str]:
    """No root, no privileges, nothing of the host, and nothing to write on but volumes."""
    faults = []
    for pod in pods(objects):
        context = pod.spec.get("securityContext") or {}
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            faults.append(f"{pod.name} may be root")
        if dig(context, "seccompProfile", "type") != "RuntimeDefault":
            faults.append(f"{pod.name} has no seccomp profile")
        hosts = ("hostNetwork", "hostPID", "hostIPC")
        faults += [f"{pod.name}: {host}" for host in hosts if pod.spec.get(host)]
        if any("hostPath" in volume for volume in pod.spec.get("volumes", [])):
            faults.append(f"{pod.name} has a path of the host")
        for container in pod.containers:
            own = container.get("securityContext") or {}
            if own.get("readOnlyRootFilesystem") is not True:
                faults.append(f"{pod.name} may write on its root")
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                faults.append(f"{pod.name} may get privileges")
            if own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
                faults.append(f"{pod.name} may be root")
            if dig(own, "capabilities") != {"drop": ["ALL"]}:
                faults.append(f"{pod.name} keeps capabilities")
    return faults


def no_token(objects: list[Object]) -> list[str]:
    """No pod can speak with the Kubernetes API, and none sees the variables of Services."""
    faults = [
        f"{name_of(account)} mounts its token"
        for account in of_kind(objects, "ServiceAccount")
        if account.get("automountServiceAccountToken") is not False
    ]
    for pod in pods(objects):
        if pod.spec.get("automountServiceAccountToken") is not False:
            faults.append(f"{pod.name} mounts a token")
        if pod.spec.get("enableServiceLinks") is not False:
            faults.append(f"{pod.name} gets variables like STORM_PORT from Services")
    return faults


def exact_images(objects: list[Object]) -> list[str]:
    """Each image has a tag that stays, and STORM's pods have the same one."""
    faults = []
    for pod in pods(objects):
        for container in pod.containers:
            image = container.get("image", "")
            _, _, tag = image.rpartition("/")[2].partition(":")
            if not tag or tag == "latest" or "latest-" in tag:
                faults.append(f"{pod.name}: {image or 'no image'}")
    ours = {
        c.get("image")
        for labels in (GATEWAY, MIGRATION)
        for p in pods(objects, labels)
        for c in p.containers
    }
    return [*faults, *([f"STORM has several images: {ours}"] if len(ours) != 1 else [])]


def no_secret_values(objects: list[Object]) -> list[str]:
    """Secrets come by reference: none is an object here, in a variable or in a text."""
    faults = [f"{name_of(found)} holds values" for found in of_kind(objects, "Secret")]
    for found in objects:
        faults += [
            f"{name_of(found)}: an address with a password"
            for text in strings(found)
            if re.search(r"://[^/\s@]*:[^/\s@]+@", text) or "PRIVATE KEY" in text
        ]
    secret_settings = {f.upper() for f in SECRETS} | {
        f"STORM_{name.upper()}"
        for name, info in Config.model_fields.items()
        if SecretStr in (info.annotation, *get_args(info.annotation))
    }
    for pod in pods(objects):
        for container in pod.containers:
            for name in environment(container):
                secret = re.search(r"(PASSWORD|TOKEN|SECRET|KEY)$", name)
                if secret or name in secret_settings:
                    faults.append(f"{pod.name}: {name} stands there as it is")
    return faults


def secrets_are_mounted(objects: list[Object]) -> list[str]:
    """The nodes find all four secrets where STORM_SECRETS_DIR says, and the migration its own."""
    faults = []
    for labels, wanted in ((GATEWAY, SECRETS), (MIGRATION, {"storm_database_url"})):
        for pod in pods(objects, labels):
            (container,) = pod.containers
            folder = environment(container).get("STORM_SECRETS_DIR")
            mounts = {m["mountPath"]: m for m in container.get("volumeMounts", [])}
            volume = dig(mounts, folder or "", "name")
            secrets = [
                v["secret"]
                for v in pod.spec.get("volumes", [])
                if v["name"] == volume and "secret" in v
            ]
            files = {
                i["path"] for s in secrets for i in s.get("items", []) if i["key"] == i["path"]
            }
            if files != wanted:
                faults.append(f"{pod.name} finds {sorted(files)} in {folder}")
            if secrets and (
                secrets[0].get("defaultMode") != 0o440
                or not dig(pod.spec, "securityContext", "fsGroup")
            ):
                faults.append(f"{pod.name}: the secret is for others to read, or not for itself")
    return faults


def settings_exist(objects: list[Object]) -> list[str]:
    """Every STORM_ variable is a setting, and a node could start with all of them together."""
    faults = []
    known = {f"STORM_{name.upper()}" for name in Config.model_fields}
    for pod in pods(objects, {"app.kubernetes.io/name": "storm"}):
        (container,) = pod.containers
        named = {entry["name"] for entry in container.get("env", [])}
        faults += [f"{pod.name}: {name} is no setting" for name in sorted(named - known)]
        given = environment(container) | STAND_INS
        given.pop("STORM_SECRETS_DIR", None)
        try:
            config = Config(
                **{  # type: ignore[arg-type]  # texts, as in the environment
                    name.removeprefix("STORM_").lower(): value
                    for name, value in given.items()
                    if name in known
                }
            )
        except ValidationError as error:
            faults += [f"{pod.name}: {fault['loc']}: {fault['msg']}" for fault in error.errors()]
            continue
        faults += [f"{pod.name}: {fault}" for fault in config.cluster_faults]
    return faults


def commands_exist(objects: list[Object]) -> list[str]:
    """What is started is a command of `storm` with its options: nodes serve, the Job migrates."""
    known = {
        command.name or str(command.callback.__name__)
        for command in command_line.registered_commands
        if command.callback is not None
    }
    assert isinstance(command_line, typer.Typer)
    faults = []
    for labels, wanted in ((GATEWAY, "serve"), (MIGRATION, "migrate")):
        for pod in pods(objects, labels):
            for container in pod.containers:
                command = [*container.get("command", []), *container.get("args", [])]
                if command != ["storm", wanted] or wanted not in known:
                    faults.append(f"{pod.name} starts {command}")
    return faults


def resources_fit(objects: list[Object]) -> list[str]:
    """What was measured fits into what is asked for; the processor is asked for, never limited."""
    faults = []
    for pod in pods(objects):
        for container in pod.containers:
            asked, most = (dig(container, "resources", k) or {} for k in ("requests", "limits"))
            if not {"cpu", "memory"} <= asked.keys() or "memory" not in most:
                faults.append(f"{pod.name} does not say what it needs")
            if "cpu" in most:
                faults.append(f"{pod.name}: a throttled processor makes everybody late")
    (container,) = gateway(objects).containers
    asked, most = (dig(container, "resources", k, "memory") or 0 for k in ("requests", "limits"))
    connections = int(environment(container).get("STORM_MAX_CONNECTIONS", "0"))
    usual = max([0, *map(connections_wanted, of_kind(objects, "HorizontalPodAutoscaler"))])
    if quantity(asked) < IDLE_BYTES + usual * CONNECTION_BYTES:
        faults.append(f"{asked} of memory asked for is too little for {usual} connections")
    # As much again for what waits for slow readers.
    if quantity(most) < 2 * (IDLE_BYTES + connections * CONNECTION_BYTES):
        faults.append(f"{most} of memory at most is too little for {connections} connections")
    if usual and not connections:
        faults.append("a node takes connections without an end")
    return faults


def pods_hang_together(objects: list[Object]) -> list[str]:
    """Each owner selects its own pods alone; mounts have volumes; nothing is said twice."""
    faults = []
    everyone = pods(objects)
    for pod in everyone:
        wanted = dig(pod.owner, "spec", "selector", "matchLabels")
        if wanted is not None:
            chosen = [other.name for other in everyone if selects(wanted, other.labels)]
            if chosen != [pod.name]:
                faults.append(f"{pod.name} selects the pods of {chosen}")
        there = {volume["name"] for volume in pod.spec.get("volumes", [])}
        there |= {
            claim["metadata"]["name"]
            for claim in dig(pod.owner, "spec", "volumeClaimTemplates") or []
        }
        for container in pod.containers:
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            faults += [f"{pod.name}: no volume {name}" for name in sorted(mounted - there)]
            there -= mounted
            names = [entry["name"] for entry in container.get("env", [])]
            if len(names) != len(set(names)):
                faults.append(f"{pod.name} has a variable twice")
        faults += [f"{pod.name}: the volume {name} is for nobody" for name in sorted(there)]
    return faults


def connections_wanted(autoscaler: Object) -> int:
    """How many connections a pod has when the autoscaler is content; 0 when it does not ask."""
    for metric in dig(autoscaler, "spec", "metrics") or []:
        if dig(metric, "pods", "metric", "name") == "storm_active_websockets":
            return int(quantity(dig(metric, "pods", "target", "averageValue") or 0))
    return 0


CHECKS = [
    not_root,
    no_token,
    exact_images,
    no_secret_values,
    secrets_are_mounted,
    settings_exist,
    commands_exist,
    resources_fit,
    pods_hang_together,
]
