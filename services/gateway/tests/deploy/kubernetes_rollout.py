"""What has to hold while pods come and go: each check gives the list of its faults."""

import re

from kubernetes_objects import GATEWAY, dig, gateway, of_kind, quantity, selects, setting
from kubernetes_pods import connections_wanted
from kustomizing import Object

from storm_gateway import app
from storm_gateway.api.operations import router
from storm_gateway.observability.metrics import metric_names

PORT = 8080
ANSWER_SECONDS = app._PROBE_SECONDS
"""How long /readyz waits for what it asks at most."""
REQUESTS_SECONDS = 10
"""How long a node that drained waits for requests under way (timeout_graceful_shutdown)."""
COMMIT_SECONDS = 5
"""What is left then for the last commit and the way out."""
POSTGRES_CONNECTIONS = 100 - 3
"""PostgreSQL's own max_connections, less those kept for its administrators."""

LIVE, READY = "/healthz", "/readyz"
ROUTES = {getattr(route, "path", "") for route in router.routes}


def grace_is_beyond_the_drain(objects: list[Object]) -> list[str]:
    """The pod is not killed before preStop, drain, closing, requests and the commit are over."""
    pod = gateway(objects)
    before = dig(pod.containers[0], "lifecycle", "preStop", "sleep", "seconds") or 0
    drain = setting(objects, "drain_seconds") + setting(objects, "close_seconds")
    needed = before + drain + REQUESTS_SECONDS + COMMIT_SECONDS
    grace = pod.spec.get("terminationGracePeriodSeconds", 30)
    faults = [f"{grace} s of grace for {needed:.0f} s"] if grace < needed else []
    return [*faults, *(["SIGTERM comes before proxies know"] if before < 5 else [])]


def rollout_disturbs_nobody_twice(objects: list[Object]) -> list[str]:
    """A new pod is there before an old one goes, and drains do not overlap."""
    faults = []
    spec = gateway(objects).owner["spec"]
    rolling = dig(spec, "strategy", "rollingUpdate") or {}
    if rolling.get("maxUnavailable") != 0 or not rolling.get("maxSurge"):
        faults.append("an old pod goes before a new one is there")
    if spec.get("minReadySeconds", 0) < setting(objects, "drain_seconds"):
        faults.append("the next drain begins before this one ends")
    for budget in (budgets := of_kind(objects, "PodDisruptionBudget")):
        if budget["spec"].get("maxUnavailable") != 1:
            faults.append("who empties a machine drains several nodes at once, or none")
        if not selects(dig(budget, "spec", "selector", "matchLabels") or {"": ""}, GATEWAY):
            faults.append("the budget is of other pods")
    return [*faults, *([] if budgets else ["no budget for disruptions"])]


def pods_are_spread(objects: list[Object]) -> list[str]:
    """Not all nodes on one machine, and not all in one zone."""
    spread = {
        each["topologyKey"]
        for each in gateway(objects).spec.get("topologySpreadConstraints", [])
        if dig(each, "labelSelector", "matchLabels") == GATEWAY and each["maxSkew"] == 1
    }
    wanted = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    return [f"not spread over {key}" for key in sorted(wanted - spread)]


def probes_ask_the_right_questions(objects: list[Object]) -> list[str]:
    """Alive is /healthz and patient, ready is /readyz, and the gateway has both."""
    faults = []
    (container,) = gateway(objects).containers
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for kind, path in (("startup", LIVE), ("liveness", LIVE), ("readiness", READY)):
        asked = dig(container, f"{kind}Probe", "httpGet") or {}
        if asked.get("path") != path or path not in ROUTES:
            faults.append(f"{kind} asks {asked.get('path')}")
        if ports.get(asked.get("port", ""), asked.get("port")) != PORT:
            faults.append(f"{kind} asks port {asked.get('port')}")
    if (dig(container, "readinessProbe", "timeoutSeconds") or 1) <= ANSWER_SECONDS:
        faults.append("readiness does not wait for its answer")
    for kind, least in (("startup", 120), ("liveness", 30)):
        probe = dig(container, f"{kind}Probe") or {}
        if probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) < least:
            faults.append(f"{kind} gives up within {least} s")
    return faults


def autoscaler_is_slow_to_leave(objects: list[Object]) -> list[str]:
    """It counts connections by a metric that nodes have, and sends people away rarely."""
    faults = []
    replicas = gateway(objects).owner["spec"].get("replicas")
    scalers = of_kind(objects, "HorizontalPodAutoscaler")
    if bool(scalers) == (replicas is not None):
        faults.append("two say how many nodes, or none does")
    for scaler in scalers:
        spec = scaler["spec"]
        names = {dig(m, "pods", "metric", "name") for m in spec["metrics"] if m["type"] == "Pods"}
        if not names or names - set(metric_names()):
            faults.append(f"no node has the metric {names}")
        most = setting(objects, "max_connections")
        if not 0 < connections_wanted(scaler) <= 0.7 * most:
            faults.append(f"a new node comes too late: {connections_wanted(scaler)} of {most:.0f}")
        faults += _leaving_faults(dig(spec, "behavior", "scaleDown") or {})
        each = 2 * (setting(objects, "database_connections") + 1)
        if spec["maxReplicas"] * each > POSTGRES_CONNECTIONS:
            faults.append(f"PostgreSQL has no connections for {spec['maxReplicas']} nodes")
        if spec.get("minReplicas", 1) < 2:
            faults.append("one node alone")
    return faults


def _leaving_faults(behavior: Object) -> list[str]:
    faults = []
    if behavior.get("stabilizationWindowSeconds", 300) < 900:
        faults.append("nodes go as soon as people do")
    policies = behavior.get("policies") or []
    if [p["type"] for p in policies] != ["Pods"] or any(
        p["value"] != 1 or p["periodSeconds"] < 120 for p in policies
    ):
        faults.append("several nodes go at once")
    return faults


def scaled_object_faults(found: Object) -> list[str]:
    """The same for KEDA's object, which stands alone."""
    faults = _leaving_faults(
        dig(found, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown")
        or {}
    )
    query = dig(found, "spec", "triggers", 0, "metadata", "query") or ""
    if not set(re.findall(r"\bstorm_[a-z_]+", query)) & set(metric_names()):
        faults.append(f"no node has the metric of {query}")
    if quantity(dig(found, "spec", "triggers", 0, "metadata", "threshold") or 0) != 8000:
        faults.append("another number than the other autoscaler's")
    return faults


CHECKS = [
    grace_is_beyond_the_drain,
    rollout_disturbs_nobody_twice,
    pods_are_spread,
    probes_ask_the_right_questions,
    autoscaler_is_slow_to_leave,
]
