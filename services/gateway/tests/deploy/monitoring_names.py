"""What the rules for Prometheus say, and which metrics there are to be named."""

import re
from functools import cache
from typing import Any

import yaml
from prometheus import MONITORING

from storm_gateway.observability.metrics import Metrics

RULES = MONITORING / "prometheus/rules"


def metrics_in(expr: str) -> set[str]:
    """The names of metrics in an expression of PromQL."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expr)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"[A-Za-z_:][\w:]*(?!\w*\s*\()", bare)
    return {word for word in words if "_" in word or ":" in word or word in ("up", "ALERTS")}


@cache
def rules() -> dict[str, list[dict[str, Any]]]:
    """File → its rules."""
    return {
        path.stem: [
            rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
        ]
        for path in sorted(RULES.glob("*.yml"))
    }


def alerts() -> dict[str, dict[str, Any]]:
    """Name → rule."""
    return {rule["alert"]: rule for file in rules().values() for rule in file if "alert" in rule}


def recorded() -> set[str]:
    """The names that rules give."""
    return {rule["record"] for file in rules().values() for rule in file if "record" in rule}


def shown() -> set[str]:
    """Every name in /metrics of a node, the parts of histograms too."""
    text = Metrics("gate-1").exposition().decode()
    names = set(re.findall(r"^(\w+)(?:\{| )", text, re.MULTILINE))
    # Shown from the first event of a kind on.
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        names |= {name}
        if kind == "histogram":
            names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return names
