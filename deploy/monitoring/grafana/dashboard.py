"""Write dashboards/storm.json, the dashboard in Grafana's form, from the panels in rows.py.

    python deploy/monitoring/grafana/dashboard.py           writes the file
    python deploy/monitoring/grafana/dashboard.py --check   says whether it is current, ends with 1

Grafana's own form is some thousand lines in which nobody sees a query.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from panel import RED, Panel
from rows import ROWS

TARGET = Path(__file__).with_name("dashboards") / "storm.json"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24

Json = dict[str, Any]


def grafana(panel: Panel, number: int, x: int, y: int) -> Json:
    """The panel in Grafana's form."""
    defaults: Json = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in panel.steps],
        },
    }
    if panel.most is not None:
        defaults["max"] = panel.most
    options: Json = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "value",
    }
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 8,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": panel.kind == "timeseries",
                "instant": panel.kind != "timeseries",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def layout() -> list[Json]:
    """Rows one below the other, panels from left to right."""
    made: list[Json] = []
    y = 0
    for row in ROWS:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            made.append(grafana(panel, len(made) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return made


def dashboard() -> Json:
    """The whole."""
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "uid": "storm",
        "title": "STORM",
        "description": "Made by deploy/monitoring/grafana/dashboard.py: change it there.",
        "tags": ["storm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "node",
                    "label": "Node",
                    "type": "query",
                    "datasource": SOURCE,
                    "definition": "label_values(storm_ready, node)",
                    "query": {"query": "label_values(storm_ready, node)", "refId": "node"},
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".+",
                    "current": everything,
                    "refresh": 2,
                    "sort": 1,
                }
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": RED,
                    "expr": 'ALERTS{alertname=~"Storm.*", alertstate="firing"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{node}} {{instance}}",
                }
            ]
        },
        "links": [],
        "panels": layout(),
    }


def main() -> int:
    """Write it, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    check = parser.parse_args().check
    made = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if not check:
        TARGET.write_text(made, "utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text("utf-8") == made:
        return 0
    sys.stderr.write(f"{TARGET.name} is not what rows.py says: run {Path(__file__).name}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
