"""What a panel of the dashboard is made of, and the queries that come again and again."""

from dataclasses import dataclass, field

RED, ORANGE, GREEN = "red", "orange", "green"


@dataclass(frozen=True)
class Query:
    """What is asked of Prometheus, and what a line of the answer is called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One drawing. ``unit``: of Grafana's list (https://grafana.com/docs, standard options)."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    text: str
    """What it shows, and what is well: behind the i of the panel."""
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    stacked: bool = False
    most: float | None = None
    """Where the upright axis ends, where that is known."""
    steps: tuple[tuple[float | None, str], ...] = ((None, GREEN),)
    """From which value on in which colour."""


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...] = field(default_factory=tuple)


def by_node(expr: str) -> tuple[Query, ...]:
    """One line for each node."""
    return (Query(expr, "{{node}}"),)


def rate(metric: str, labels: str = "") -> str:
    """A second's worth of a counter, of the chosen nodes; windows as long as the picture needs."""
    chosen = ", ".join(part for part in ('node=~"$node"', labels) if part)
    return f"rate({metric}{{{chosen}}}[$__rate_interval])"


def quantiles(metric: str, labels: str = "") -> tuple[Query, ...]:
    """p50 and p99 over the chosen nodes."""
    buckets = f"sum by (le) ({rate(metric + '_bucket', labels)})"
    return tuple(
        Query(f"histogram_quantile({share}, {buckets})", name)
        for share, name in ((0.5, "p50"), (0.99, "p99"))
    )


def stat(title: str, unit: str, expr: str, text: str, *steps: tuple[float | None, str]) -> Panel:
    """One number, as of now."""
    colours = steps or ((None, GREEN),)
    return Panel(title, unit, (Query(expr, title),), text, "stat", 4, 4, steps=colours)
