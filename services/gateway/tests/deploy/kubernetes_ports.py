"""What has to hold for ports, names and the way in: each check gives the list of its faults."""

from kubernetes_objects import GATEWAY, backends, dig, environment, gateway, name_of, of_kind, pods
from kustomizing import Object

from storm_gateway.api.operations import router
from storm_gateway.config import Config

PORT = 8080
PING_SECONDS = Config.model_fields["ping_seconds"].default
ROUTES = {getattr(route, "path", "") for route in router.routes}


def port_is_8080(objects: list[Object]) -> list[str]:
    """The same one everywhere: settings, container, Service, routes and policies."""
    (container,) = gateway(objects).containers
    faults = []
    if environment(container).get("STORM_ADDR") != f":{PORT}":
        faults.append("the node listens elsewhere")
    if [port.get("containerPort") for port in container.get("ports", [])] != [PORT]:
        faults.append("the container says another port")
    services = [s for s in of_kind(objects, "Service") if s["metadata"]["name"] == "storm"]
    if [dig(s, "spec", "ports", 0, "port") for s in services] != [PORT]:
        faults.append("the Service has another port")
    faults += [f"{name}: to port {port}" for name, port in backends(objects) if port != PORT]
    for policy in of_kind(objects, "NetworkPolicy"):
        if dig(policy, "spec", "podSelector", "matchLabels") == GATEWAY:
            faults += [
                f"{name_of(policy)}: port {port.get('port')}"
                for rule in dig(policy, "spec", "ingress") or []
                for port in rule.get("ports", [])
                if port.get("port") != PORT
            ]
    return faults


def services_lead_to_pods(objects: list[Object]) -> list[str]:
    """Each Service selects pods of one kind, and its port is one of theirs with the same number."""
    faults = []
    for service in of_kind(objects, "Service"):
        chosen = pods(objects, service["spec"].get("selector") or {"": ""})
        if len(chosen) != 1:
            faults.append(f"{name_of(service)} leads to {len(chosen)} kinds of pods")
            continue
        there = {
            port["name"]: port["containerPort"]
            for container in chosen[0].containers
            for port in container.get("ports", [])
        }
        faults += [
            f"{name_of(service)}: {port} is no port of {chosen[0].name}"
            for port in service["spec"]["ports"]
            if there.get(port.get("targetPort")) != port["port"]
        ]
    return faults


def names_are_there(objects: list[Object]) -> list[str]:
    """Whatever is named is an object here: accounts, Services, Gateways, what is watched."""
    there = {(found["kind"], found["metadata"]["name"]) for found in objects}
    wanted = [("ServiceAccount", pod.spec.get("serviceAccountName")) for pod in pods(objects)]
    wanted = [(kind, name) for kind, name in wanted if name]
    wanted += [("Service", name.partition(" ")[0]) for name, _ in backends(objects)]
    for found in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = found["spec"]["scaleTargetRef"]
        wanted.append((target["kind"], target["name"]))
    wanted += [
        ("ConfigMap", volume["configMap"]["name"])
        for pod in pods(objects)
        for volume in pod.spec.get("volumes", [])
        if "configMap" in volume
    ]
    faults = [f"there is no {kind} {name}" for kind, name in wanted if (kind, name) not in there]
    listeners = {
        (gate["metadata"]["name"], each["name"])
        for gate in of_kind(objects, "Gateway")
        for each in gate["spec"]["listeners"]
    }
    faults += [
        f"{name_of(route)} hangs on nothing"
        for route in of_kind(objects, "HTTPRoute")
        for parent in route["spec"]["parentRefs"]
        if (parent["name"], parent.get("sectionName")) not in listeners
    ]
    for watch in of_kind(objects, "PodMonitor"):
        if GATEWAY.get(watch["spec"].get("jobLabel", "")) != "storm":
            faults.append(f"{name_of(watch)} gives another job than the alerts look for")
        end = watch["spec"]["podMetricsEndpoints"][0]
        if watch["spec"]["selector"].get("matchLabels") != GATEWAY:
            faults.append(f"{name_of(watch)} watches other pods")
        if (end.get("port"), end.get("path")) != ("http", "/metrics") or "/metrics" not in ROUTES:
            faults.append(f"{name_of(watch)} reads {end}")
    return faults


def one_guarded_namespace(objects: list[Object]) -> list[str]:
    """Everything is in the namespace of the overlay, and that one takes no pod with privileges."""
    (space,) = of_kind(objects, "Namespace")
    name = space["metadata"]["name"]
    faults = [
        f"{name_of(found)} is elsewhere"
        for found in objects
        if found is not space and found["metadata"].get("namespace") != name
    ]
    labels = space["metadata"].get("labels") or {}
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        faults.append("the namespace takes every pod")
    return faults


def routes_let_websockets_through(objects: list[Object]) -> list[str]:
    """No time limit on /ws, everything else to the same Service, and nothing is rewritten."""
    routes = [r for r in of_kind(objects, "HTTPRoute") if any(backends([r]))]
    if not routes:
        return []
    (route,) = routes
    rules = {
        (dig(match, "path", "type"), dig(match, "path", "value")): rule
        for rule in route["spec"]["rules"]
        for match in rule.get("matches", [])
    }
    faults = []
    limits = dig(rules, ("Exact", "/ws"), "timeouts") or {}  # type: ignore[arg-type]
    if limits != {"request": "0s", "backendRequest": "0s"}:
        faults.append(f"a WebSocket may last {limits}")
    faults += [
        f"{wanted[1]} leads nowhere"
        for wanted in (("Exact", "/ws"), ("PathPrefix", "/"))
        if not rules.get(wanted, {}).get("backendRefs")
    ]
    if any("filters" in rule for rule in route["spec"]["rules"]):
        faults.append("something is rewritten")
    if dig(route, "spec", "parentRefs", 0, "sectionName") != "https":
        faults.append("without TLS")
    return faults


def ingress_lets_websockets_through(objects: list[Object]) -> list[str]:
    """Time-outs well beyond the ping, the whole address as it is, and no snippet."""
    prefix = "nginx.ingress.kubernetes.io/"
    faults = []
    for ingress in of_kind(objects, "Ingress"):
        said = ingress["metadata"].get("annotations") or {}
        bad = ("rewrite-target", "use-regex", "configuration-snippet", "server-snippet")
        faults += [f"{name_of(ingress)}: {name}" for name in bad if prefix + name in said]
        if not ingress["spec"].get("tls"):
            faults.append(f"{name_of(ingress)}: without TLS")
        if (prefix + "denylist-source-range") in said:
            continue
        faults += [
            f"{name_of(ingress)}: {limit}"
            for limit in ("proxy-read-timeout", "proxy-send-timeout")
            if float(said.get(prefix + limit, "60")) < 10 * PING_SECONDS
        ]
        paths = [
            (p["path"], p["pathType"]) for p in dig(ingress, "spec", "rules", 0, "http", "paths")
        ]
        if paths != [("/", "Prefix")]:
            faults.append(f"{name_of(ingress)}: {paths}")
    return faults


def metrics_are_for_us_alone(objects: list[Object]) -> list[str]:
    """A way in refuses /metrics."""
    faults = []
    for route in of_kind(objects, "HTTPRoute"):
        refused = [
            rule
            for rule in route["spec"]["rules"]
            if dig(rule, "matches", 0, "path") == {"type": "Exact", "value": "/metrics"}
            and "backendRefs" not in rule
        ]
        if any(backends([route])) and not refused:
            faults.append(f"{name_of(route)} shows the metrics")
    closed = {
        dig(ingress, "spec", "rules", 0, "http", "paths", 0, "path")
        for ingress in of_kind(objects, "Ingress")
        if (ingress["metadata"].get("annotations") or {}).get(
            "nginx.ingress.kubernetes.io/denylist-source-range"
        )
        == "0.0.0.0/0,::/0"
    }
    if of_kind(objects, "Ingress") and "/metrics" not in closed:
        faults.append("the Ingress shows the metrics")
    return faults


def names_of_the_site_agree(objects: list[Object]) -> list[str]:
    """What the routes listen for, what the certificate is for, what a page may come from."""
    hosts = {h for r in of_kind(objects, "HTTPRoute") for h in r["spec"].get("hostnames", [""])}
    hosts |= {
        each.get("hostname") for g in of_kind(objects, "Gateway") for each in g["spec"]["listeners"]
    }
    for ingress in of_kind(objects, "Ingress"):
        hosts |= {rule.get("host") for rule in ingress["spec"]["rules"]}
        hosts |= {host for tls in ingress["spec"].get("tls", []) for host in tls["hosts"]}
    if not hosts:
        return []
    given = environment(gateway(objects).containers[0])
    faults = [] if len(hosts) == 1 else [f"several names: {hosts}"]
    if given.get("STORM_CORS_ORIGINS") not in {f"https://{host}" for host in hosts}:
        faults.append("pages come from elsewhere")
    if given.get("STORM_COOKIE_SECURE") != "true" or not given.get("STORM_TRUSTED_PROXIES"):
        faults.append("the node does not know of the proxy")
    return faults


CHECKS = [
    port_is_8080,
    services_lead_to_pods,
    names_are_there,
    one_guarded_namespace,
    routes_let_websockets_through,
    ingress_lets_websockets_through,
    metrics_are_for_us_alone,
    names_of_the_site_agree,
]
