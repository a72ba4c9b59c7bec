"""What could be wrong with the manifests, one thing at a time, and which check has to see it."""

import copy
from dataclasses import dataclass
from typing import Any

from kubernetes_objects import name_of
from kustomizing import Object

GONE = object()
"""Stands for: takes it away."""
ADDED = "(added)"
"""Stands for an object: one more."""

POD = "spec.template.spec."
BOX = POD + "containers.0."
STORM = "Deployment storm"
JOB = "Job storm-migrate"


@dataclass(frozen=True)
class Breakage:
    """The value at ``path`` of ``target`` in ``overlay`` becomes ``value``; ``check`` turns red."""

    check: str
    target: str
    path: str
    value: Any
    overlay: str = "production"

    def of(self, objects: list[Object]) -> list[Object]:
        """The objects with this one thing wrong."""
        broken = copy.deepcopy(objects)
        if self.target == ADDED:
            return [*broken, self.value]
        (at,) = [i for i, found in enumerate(broken) if name_of(found) == self.target]
        if not self.path:
            assert self.value is GONE
            return [*broken[:at], *broken[at + 1 :]]
        *steps, last = [
            int(s) if s.isdigit() else s for s in self.path.replace("~", "\0").split(".")
        ]
        node: Any = broken[at]
        for step in steps:
            node = node[_step(step)]
        if self.value is GONE:
            del node[_step(last)]
        elif last == "+":
            node.append(self.value)
        else:
            assert not (isinstance(node, dict) and node.get(_step(last)) == self.value)
            node[_step(last)] = self.value
        return broken


def _step(step: str | int) -> str | int:
    return step if isinstance(step, int) else step.replace("\0", ".")


def env(name: str, value: str) -> Object:
    return {"name": name, "value": value}


NGINX = "metadata.annotations.nginx~ingress~kubernetes~io/"
INGRESS = "production-ingress"
LEAVING = "spec.behavior.scaleDown."

TABLE = [
    # kubernetes_pods
    Breakage("not_root", STORM, POD + "securityContext.runAsNonRoot", GONE),
    Breakage("not_root", STORM, POD + "securityContext.runAsUser", 0),
    Breakage("not_root", JOB, POD + "securityContext", GONE),
    Breakage("not_root", STORM, POD + "securityContext.seccompProfile.type", "Unconfined"),
    Breakage("not_root", STORM, POD + "hostNetwork", True),
    Breakage("not_root", STORM, POD + "volumes.+", {"name": "x", "hostPath": {"path": "/"}}),
    Breakage("not_root", STORM, BOX + "securityContext.readOnlyRootFilesystem", False),
    Breakage("not_root", STORM, BOX + "securityContext.allowPrivilegeEscalation", GONE),
    Breakage("not_root", STORM, BOX + "securityContext.privileged", True),
    Breakage("not_root", STORM, BOX + "securityContext.runAsUser", 0),
    Breakage("not_root", STORM, BOX + "securityContext.capabilities", {"drop": ["NET_RAW"]}),
    Breakage("not_root", STORM, BOX + "securityContext.capabilities.add", ["NET_ADMIN"]),
    Breakage("not_root", "StatefulSet postgres", BOX + "securityContext", GONE, "dev"),
    Breakage("not_root", "Deployment nats", POD + "securityContext.runAsNonRoot", False, "dev"),
    Breakage("no_token", "ServiceAccount storm", "automountServiceAccountToken", GONE),
    Breakage("no_token", STORM, POD + "automountServiceAccountToken", True),
    Breakage("no_token", JOB, POD + "automountServiceAccountToken", GONE),
    Breakage("no_token", STORM, POD + "enableServiceLinks", GONE),
    Breakage("exact_images", STORM, BOX + "image", "registry.example.org/storm:latest"),
    Breakage("exact_images", STORM, BOX + "image", "registry.example.org:5000/storm"),
    Breakage("exact_images", STORM, BOX + "image", GONE),
    Breakage("exact_images", JOB, BOX + "image", "registry.example.org/storm:0.0.9"),
    Breakage("exact_images", "Deployment valkey", BOX + "image", "valkey/valkey", "dev"),
    Breakage("no_secret_values", ADDED, "", {"kind": "Secret", "metadata": {"name": "x"}}),
    Breakage("no_secret_values", STORM, BOX + "env.+", env("STORM_JWT_SECRET", "x" * 32)),
    Breakage("no_secret_values", STORM, BOX + "env.+", env("STORM_DATABASE_URL", "postgresql://")),
    Breakage("no_secret_values", STORM, BOX + "env.+", env("A_PASSWORD", "x")),
    Breakage("no_secret_values", STORM, "metadata.labels.x", "redis://:secret@valkey:6379/0"),
    Breakage("no_secret_values", "ConfigMap nats", "data.x", "nats://u:p@nats:4222", "dev"),
    Breakage("secrets_are_mounted", STORM, POD + "volumes.0.secret.items.2", GONE),
    Breakage("secrets_are_mounted", STORM, POD + "volumes.0.secret.items.0.path", "jwt"),
    Breakage("secrets_are_mounted", STORM, BOX + "volumeMounts.0.mountPath", "/run/secrets"),
    Breakage("secrets_are_mounted", STORM, POD + "volumes.0.secret.defaultMode", 0o444),
    Breakage("secrets_are_mounted", STORM, POD + "securityContext.fsGroup", GONE),
    Breakage("secrets_are_mounted", JOB, POD + "volumes.0.secret.items.0.key", "database-url"),
    Breakage("settings_exist", STORM, BOX + "env.+", env("STORM_DRAIN_SECOND", "30")),
    Breakage("settings_exist", STORM, BOX + "env.+", env("STORM_LOG_FORMAT", "xml")),
    Breakage("settings_exist", STORM, BOX + "env.+", env("STORM_TRUSTED_PROXIES", "10.0.0.0/99")),
    Breakage("settings_exist", JOB, BOX + "env.+", env("STORM_DATABASE", "x")),
    Breakage("commands_exist", STORM, BOX + "command", ["storm", "server"]),
    Breakage("commands_exist", STORM, BOX + "args", ["--workers", "4"]),
    Breakage("commands_exist", STORM, BOX + "command", GONE),
    Breakage("commands_exist", JOB, BOX + "command.1", "migrate-up"),
    Breakage("resources_fit", STORM, BOX + "resources", GONE),
    Breakage("resources_fit", STORM, BOX + "resources.limits.cpu", "1"),
    Breakage("resources_fit", STORM, BOX + "resources.requests.memory", "256Mi"),
    Breakage("resources_fit", STORM, BOX + "resources.limits.memory", "512Mi"),
    Breakage("resources_fit", STORM, BOX + "env.+", env("STORM_MAX_CONNECTIONS", "60000")),
    Breakage("resources_fit", STORM, BOX + "env.+", env("STORM_MAX_CONNECTIONS", "0")),
    Breakage("resources_fit", "Deployment nats", BOX + "resources.limits", GONE, "dev"),
    Breakage("pods_hang_together", STORM, "spec.selector.matchLabels", {"app": "storm"}),
    Breakage(
        "pods_hang_together",
        STORM,
        "spec.selector.matchLabels",
        {"app.kubernetes.io/name": "storm"},  # the migration's pod, too
    ),
    Breakage("pods_hang_together", STORM, POD + "volumes.0", GONE),
    Breakage("pods_hang_together", STORM, BOX + "volumeMounts.1", GONE),
    Breakage("pods_hang_together", STORM, BOX + "env.+", env("STORM_LOG_FORMAT", "json")),
    Breakage("pods_hang_together", "StatefulSet postgres", "spec.volumeClaimTemplates", [], "dev"),
    # kubernetes_rollout
    Breakage("grace_is_beyond_the_drain", STORM, POD + "terminationGracePeriodSeconds", GONE),
    Breakage("grace_is_beyond_the_drain", STORM, POD + "terminationGracePeriodSeconds", 45),
    Breakage("grace_is_beyond_the_drain", STORM, BOX + "env.+", env("STORM_DRAIN_SECONDS", "60")),
    Breakage("grace_is_beyond_the_drain", STORM, BOX + "env.+", env("STORM_CLOSE_SECONDS", "25")),
    Breakage("grace_is_beyond_the_drain", STORM, BOX + "lifecycle.preStop.sleep.seconds", 60),
    Breakage("grace_is_beyond_the_drain", STORM, BOX + "lifecycle", GONE),
    Breakage("rollout_disturbs_nobody_twice", STORM, "spec.strategy", GONE),
    Breakage(
        "rollout_disturbs_nobody_twice", STORM, "spec.strategy.rollingUpdate.maxUnavailable", 1
    ),
    Breakage("rollout_disturbs_nobody_twice", STORM, "spec.minReadySeconds", 5),
    Breakage("rollout_disturbs_nobody_twice", "PodDisruptionBudget storm", "", GONE),
    Breakage(
        "rollout_disturbs_nobody_twice", "PodDisruptionBudget storm", "spec.maxUnavailable", "50%"
    ),
    Breakage(
        "rollout_disturbs_nobody_twice",
        "PodDisruptionBudget storm",
        "spec.selector.matchLabels",
        {"app": "storm"},
    ),
    Breakage("pods_are_spread", STORM, POD + "topologySpreadConstraints", GONE),
    Breakage("pods_are_spread", STORM, POD + "topologySpreadConstraints.1", GONE),
    Breakage("pods_are_spread", STORM, POD + "topologySpreadConstraints.0.labelSelector", GONE),
    Breakage("probes_ask_the_right_questions", STORM, BOX + "livenessProbe", GONE),
    Breakage("probes_ask_the_right_questions", STORM, BOX + "readinessProbe", GONE),
    Breakage("probes_ask_the_right_questions", STORM, BOX + "startupProbe", GONE),
    Breakage(
        "probes_ask_the_right_questions", STORM, BOX + "livenessProbe.httpGet.path", "/readyz"
    ),
    Breakage(
        "probes_ask_the_right_questions", STORM, BOX + "readinessProbe.httpGet.path", "/ready"
    ),
    Breakage("probes_ask_the_right_questions", STORM, BOX + "startupProbe.httpGet.port", 80),
    Breakage("probes_ask_the_right_questions", STORM, BOX + "readinessProbe.timeoutSeconds", GONE),
    Breakage("probes_ask_the_right_questions", STORM, BOX + "livenessProbe.failureThreshold", 1),
    Breakage("probes_ask_the_right_questions", STORM, BOX + "startupProbe.failureThreshold", 10),
    Breakage("autoscaler_is_slow_to_leave", STORM, "spec.replicas", 3),
    Breakage("autoscaler_is_slow_to_leave", STORM, "spec.replicas", GONE, "dev"),
    Breakage(
        "autoscaler_is_slow_to_leave",
        "HorizontalPodAutoscaler storm",
        "spec.metrics.0.pods.metric.name",
        "storm_connections",
    ),
    Breakage(
        "autoscaler_is_slow_to_leave", "HorizontalPodAutoscaler storm", "spec.metrics.0", GONE
    ),
    Breakage(
        "autoscaler_is_slow_to_leave",
        "HorizontalPodAutoscaler storm",
        "spec.metrics.0.pods.target.averageValue",
        "11000",
    ),
    Breakage("autoscaler_is_slow_to_leave", "HorizontalPodAutoscaler storm", "spec.behavior", GONE),
    Breakage(
        "autoscaler_is_slow_to_leave",
        "HorizontalPodAutoscaler storm",
        LEAVING + "stabilizationWindowSeconds",
        300,
    ),
    Breakage(
        "autoscaler_is_slow_to_leave",
        "HorizontalPodAutoscaler storm",
        LEAVING + "policies.0",
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ),
    Breakage(
        "autoscaler_is_slow_to_leave",
        "HorizontalPodAutoscaler storm",
        LEAVING + "policies.0.value",
        3,
    ),
    Breakage(
        "autoscaler_is_slow_to_leave", "HorizontalPodAutoscaler storm", "spec.maxReplicas", 10
    ),
    Breakage("autoscaler_is_slow_to_leave", "HorizontalPodAutoscaler storm", "spec.minReplicas", 1),
    # kubernetes_ports
    Breakage("port_is_8080", STORM, BOX + "env.+", env("STORM_ADDR", "127.0.0.1:8080")),
    Breakage("port_is_8080", STORM, BOX + "ports.0.containerPort", 8000),
    Breakage("port_is_8080", "Service storm", "spec.ports.0.port", 80),
    Breakage("port_is_8080", "HTTPRoute storm", "spec.rules.0.backendRefs.0.port", 80),
    Breakage(
        "port_is_8080",
        "Ingress storm",
        "spec.rules.0.http.paths.0.backend.service.port.number",
        80,
        INGRESS,
    ),
    Breakage("port_is_8080", "NetworkPolicy storm-from-proxy", "spec.ingress.0.ports.0.port", 80),
    Breakage("services_lead_to_pods", "Service storm", "spec.ports.0.targetPort", "web"),
    Breakage("services_lead_to_pods", "Service storm", "spec.selector", {"app": "storm"}),
    Breakage(
        "services_lead_to_pods",
        "Service storm",
        "spec.selector",
        {"app.kubernetes.io/name": "storm"},  # the migration, too
    ),
    Breakage("services_lead_to_pods", "Service nats", "spec.ports.0.port", 4223, "dev"),
    Breakage("names_are_there", "ServiceAccount storm", "", GONE),
    Breakage("names_are_there", "Service storm", "", GONE),
    Breakage("names_are_there", "ConfigMap nats", "", GONE, "dev"),
    Breakage("names_are_there", "HTTPRoute storm", "spec.rules.2.backendRefs.0.name", "storms"),
    Breakage("names_are_there", "HTTPRoute storm-to-https", "spec.parentRefs.0.sectionName", "web"),
    Breakage(
        "names_are_there", "HorizontalPodAutoscaler storm", "spec.scaleTargetRef.name", "gateway"
    ),
    Breakage(
        "names_are_there", "PodMonitor storm", "spec.podMetricsEndpoints.0.path", "/prometheus"
    ),
    Breakage("names_are_there", "PodMonitor storm", "spec.podMetricsEndpoints.0.port", "metrics"),
    Breakage("names_are_there", "PodMonitor storm", "spec.jobLabel", GONE),
    Breakage("names_are_there", "PodMonitor storm", "spec.selector.matchLabels", {"app": "storm"}),
    Breakage("one_guarded_namespace", "Service storm", "metadata.namespace", "default"),
    Breakage("one_guarded_namespace", "Namespace storm", "metadata.labels", GONE),
    Breakage("routes_let_websockets_through", "HTTPRoute storm", "spec.rules.0.timeouts", GONE),
    Breakage(
        "routes_let_websockets_through", "HTTPRoute storm", "spec.rules.0.timeouts.request", "60s"
    ),
    Breakage("routes_let_websockets_through", "HTTPRoute storm", "spec.rules.0", GONE),
    Breakage("routes_let_websockets_through", "HTTPRoute storm", "spec.rules.2", GONE),
    Breakage(
        "routes_let_websockets_through",
        "HTTPRoute storm",
        "spec.rules.2.filters",
        [{"type": "URLRewrite"}],
    ),
    Breakage(
        "routes_let_websockets_through", "HTTPRoute storm", "spec.parentRefs.0.sectionName", "http"
    ),
    Breakage(
        "ingress_lets_websockets_through",
        "Ingress storm",
        NGINX + "proxy-read-timeout",
        GONE,
        INGRESS,
    ),
    Breakage(
        "ingress_lets_websockets_through",
        "Ingress storm",
        NGINX + "proxy-send-timeout",
        "30",
        INGRESS,
    ),
    Breakage(
        "ingress_lets_websockets_through", "Ingress storm", NGINX + "rewrite-target", "/", INGRESS
    ),
    Breakage(
        "ingress_lets_websockets_through",
        "Ingress storm",
        NGINX + "configuration-snippet",
        "proxy_set_header Connection upgrade;",
        INGRESS,
    ),
    Breakage(
        "ingress_lets_websockets_through",
        "Ingress storm",
        "spec.rules.0.http.paths.0.path",
        "/api",
        INGRESS,
    ),
    Breakage("ingress_lets_websockets_through", "Ingress storm", "spec.tls", GONE, INGRESS),
    Breakage("metrics_are_for_us_alone", "HTTPRoute storm", "spec.rules.1", GONE),
    Breakage(
        "metrics_are_for_us_alone",
        "HTTPRoute storm",
        "spec.rules.1.backendRefs",
        [{"name": "storm", "port": 8080}],
    ),
    Breakage("metrics_are_for_us_alone", "Ingress storm-metrics", "", GONE, INGRESS),
    Breakage(
        "metrics_are_for_us_alone", "Ingress storm-metrics", "metadata.annotations", GONE, INGRESS
    ),
    Breakage("names_of_the_site_agree", "HTTPRoute storm", "spec.hostnames", ["chat.example.com"]),
    Breakage("names_of_the_site_agree", "Ingress storm", "spec.tls.0.hosts", ["x.org"], INGRESS),
    Breakage("names_of_the_site_agree", STORM, BOX + "env.+", env("STORM_COOKIE_SECURE", "false")),
    Breakage("names_of_the_site_agree", STORM, BOX + "env.+", env("STORM_TRUSTED_PROXIES", "")),
    Breakage(
        "names_of_the_site_agree",
        STORM,
        BOX + "env.+",
        env("STORM_CORS_ORIGINS", "http://chat.example.org"),
    ),
]
