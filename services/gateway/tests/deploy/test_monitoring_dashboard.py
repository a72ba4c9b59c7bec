"""The dashboard is what its panels say, and what Grafana needs to show it."""
# ruff: noqa: S603 our own script

import json
import runpy
import subprocess
import sys
from typing import Any

import pytest
import yaml
from monitoring_names import metrics_in, recorded, shown
from prometheus import MONITORING, ROOT

GRAFANA = MONITORING / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/storm.json").read_text())
UNITS = {"short", "none", "ops", "s", "bytes", "percentunit"}
"""Of Grafana's list of units; those that the panels use."""
LABELS = {"node", "code", "status", "reason", "kind", "dependency"}

Json = dict[str, Any]


def panels() -> list[Json]:
    """Those that draw something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_dashboard_is_the_one_that_its_panels_make() -> None:
    ran = subprocess.run(
        [sys.executable, GRAFANA / "dashboard.py", "--check"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_the_datasource_of_every_query_is_the_provisioned_one() -> None:
    (path,) = (GRAFANA / "provisioning/datasources").glob("*.yml")
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    assert source["isDefault"]
    for panel in panels():
        assert panel["datasource"] == wanted, panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == wanted
    for variable in DASHBOARD["templating"]["list"]:
        assert variable["datasource"] == wanted
    config = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_the_folder_that_is_provisioned_is_the_one_that_compose_mounts() -> None:
    (path,) = (GRAFANA / "provisioning/dashboards").glob("*.yml")
    (provider,) = yaml.safe_load(path.read_text())["providers"]
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert (
        f"./deploy/monitoring/grafana/dashboards:{provider['options']['path']}:ro"
        in compose["grafana"]["volumes"]
    )
    (file,) = (GRAFANA / "provisioning/datasources").glob("*.yml")
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    assert DASHBOARD["uid"] == "storm"
    assert DASHBOARD["title"] == "STORM"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(type(number) is int and number > 0 for number in ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_panel_says_what_it_shows_in_a_unit_that_grafana_knows() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    for panel in panels():
        assert panel["type"] in ("timeseries", "stat")
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None
        assert panel["targets"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["range"] is not target["instant"]
            assert target["legendFormat"]


def test_the_dashboard_shows_what_an_operator_asks_for() -> None:
    asked = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    for metric in (
        "sum by (node) (storm_active_websockets",
        "storm_deliveries_total",
        "storm_ack_duration_seconds_bucket",
        "storm_delivery_duration_seconds_bucket",
        "storm_writes_total",
        "storm_outbox_bytes",
        "storm_bus_sent_events_total",
        "storm_nats_publish_duration_seconds_bucket",
        "storm_commit_duration_seconds_bucket",
        "process_resident_memory_bytes",
        "storm_loop_lag_seconds_bucket",
    ):
        assert metric in asked


def test_panels_name_no_metric_that_is_not_there() -> None:
    known = shown() | recorded() | {"ALERTS"}
    for panel in panels():
        for target in panel["targets"]:
            assert metrics_in(target["expr"]) <= known, panel["title"]
            legend = target["legendFormat"]
            if "{{" in legend:
                name = legend[legend.index("{{") + 2 : legend.index("}}")]
                assert name in LABELS
                # Otherwise the legend would be empty.
                assert name == "node" or f"by ({name})" in target["expr"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "short", "0"),
        (1234.0, "short", "1.23 K"),
        (512_000.0, "ops", "512 K/s"),
        (0.25, "s", "250 ms"),
        (0.00012, "s", "120 µs"),
        (90.0, "s", "1.5 min"),
        (0.0144, "percentunit", "1.44 %"),
        # Ticks in equal steps are read as such.
        (0.00075, "percentunit", "0.075 %"),
        (98_566_144.0, "bytes", "94 MiB"),
        (float("nan"), "s", "no data"),
    ],
)
def test_numbers_of_the_picture_are_written_for_people(value: float, unit: str, text: str) -> None:
    assert runpy.run_path(str(MONITORING / "drawing/units.py"))["written"](value, unit) == text
