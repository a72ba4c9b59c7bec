"""Prometheus' configuration and rules: legal, tried on made-up series, each alert explained."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from monitoring_names import RULES, alerts, metrics_in, recorded, rules, shown
from prometheus import MONITORING, ROOT, promtool

CASES = MONITORING / "prometheus/tests"
RUNBOOK = ROOT / "docs/runbook.md"
OF_EXPORTERS = re.compile(r"(node|pg|redis|gnatsd)_\w+")


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    ran = promtool("check", "config", MONITORING / "prometheus/prometheus.yml")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("rules found") == len(rules())
    broken = tmp_path / "prometheus"
    shutil.copytree(MONITORING / "prometheus", broken)
    file = broken / "rules/nodes.yml"
    file.write_text(file.read_text().replace("storm_ready == 0", "storm_ready == ("))
    assert promtool("check", "config", broken / "prometheus.yml").returncode != 0


@pytest.mark.parametrize("name", sorted(path.stem for path in RULES.glob("*.yml")))
def test_every_alert_fires_and_is_silent_when_it_should(name: str) -> None:
    """A case for each alert: silent at one time of the series, firing at a later one, with exactly
    these labels and texts.
    """
    cases = yaml.safe_load((CASES / f"{name}.yml").read_text())["tests"]
    for alert in (rule["alert"] for rule in rules()[name] if "alert" in rule):
        (case,) = (case for case in cases if case["name"] == alert)
        silent, firing = case["alert_rule_test"]
        assert silent["alertname"] == firing["alertname"] == alert
        assert silent["exp_alerts"] == []
        assert len(firing["exp_alerts"]) == 1
    ran = promtool("test", "rules", CASES / f"{name}.yml")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("nodes", "storm_ready == 0", "storm_ready == 2"),
        ("nodes", "for: 3m", "for: 0m"),
        ("clients", 'status=~"5.."', 'status=~".*"'),
        ("dependencies", "> 2000", "> 200"),
        ("machine", 'fstype!~"tmpfs|', 'fstype!~"'),
    ],
)
def test_the_cases_see_a_rule_that_is_wrong(
    name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    for folder in (RULES, CASES):
        shutil.copytree(folder, tmp_path / folder.name)
    file = tmp_path / f"rules/{name}.yml"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong))
    assert promtool("test", "rules", tmp_path / f"tests/{name}.yml").returncode != 0


def test_every_alert_says_how_urgent_it_is_and_where_help_is() -> None:
    for name, rule in alerts().items():
        assert name.startswith("Storm")
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "runbook_url"}
        wanted = f"{{{{ $externalLabels.runbook }}}}#{name.lower()}"
        assert rule["annotations"]["runbook_url"] == wanted


def runbook_faults(text: str) -> list[str]:
    """Alerts without a heading, headings without an alert, and parts that are missing."""
    headings = re.findall(r"^### (Storm\w+)$", text, re.MULTILINE)
    faults = [f"{name} has no heading" for name in sorted(set(alerts()) - set(headings))]
    faults += [f"{name} is no alert" for name in sorted(set(headings) - set(alerts()))]
    faults += [f"{name} twice" for name in sorted({n for n in headings if headings.count(n) > 1})]
    for name, body in re.findall(
        r"^### (Storm\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL
    ):
        for part in ("**Users:**", "**Look:**", "**Do:**"):
            if part not in body:
                faults.append(f"{name}: {part} is missing")
        severity = alerts().get(name, {}).get("labels", {}).get("severity")
        if severity is not None and f"*{severity}*" not in body:
            faults.append(f"{name}: it is a {severity}")
    return faults


def test_every_alert_has_its_heading_in_the_runbook_and_every_heading_an_alert() -> None:
    text = RUNBOOK.read_text()
    assert runbook_faults(text) == []
    assert runbook_faults(text.replace("### StormDown\n", "### StormGone\n")) == [
        "StormDown has no heading",
        "StormGone is no alert",
    ]
    assert "StormDown: **Do:** is missing" in runbook_faults(text.replace("**Do:**", "Do:"))


def test_rules_and_runbook_name_no_metric_that_is_not_there() -> None:
    known = shown() | recorded() | {"up", "ALERTS"}
    for file in rules().values():
        for rule in file:
            strange = {
                name for name in metrics_in(rule["expr"]) - known if not OF_EXPORTERS.match(name)
            }
            assert not strange, f"{rule}: {strange}"
    named = set(re.findall(r"\b(?:storm|process)_\w+|\bstorm:[\w:]+", RUNBOOK.read_text()))
    assert {name for name in named - known if f"{name}_total" not in known} - {
        "storm_gateway"
    } == set()


def test_names_of_metrics_are_found_in_expressions() -> None:
    expr = (
        'histogram_quantile(0.99, sum by (node, le) (rate(storm_x_bucket{job="a_b"}[5m]))) '
        "/ on (instance) max by (in_stance) (pg_y) and storm:z:ratio_rate5m or vector(0) > up"
    )
    assert metrics_in(expr) == {"storm_x_bucket", "pg_y", "storm:z:ratio_rate5m", "up"}


def test_jobs_of_the_configuration_have_their_file_of_targets_and_it_is_empty() -> None:
    folder = MONITORING / "prometheus"
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    listed = [
        folder / file
        for job in [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
        for discovery in job.get("file_sd_configs", ())
        for file in discovery["files"]
    ]
    assert sorted(listed) == sorted((folder / "targets").glob("*.yml"))
    for file in listed:
        assert yaml.safe_load(file.read_text()) == []
    (storm,) = (job for job in config["scrape_configs"] if job["job_name"] == "storm")
    assert storm["metrics_path"] == "/metrics"
    (found,) = storm["dns_sd_configs"]
    assert (found["names"], found["type"], found["port"]) == (["storm"], "A", 8080)


def test_the_operator_gets_the_very_rules_under_the_job_that_they_name() -> None:
    script = MONITORING / "prometheus/for-operator.sh"
    ran = subprocess.run(["sh", script], capture_output=True, text=True, check=True)  # noqa: S603, S607
    resources = list(yaml.safe_load_all(ran.stdout))
    assert [each["metadata"]["name"] for each in resources] == [f"storm-{name}" for name in rules()]
    for resource, path in zip(resources, sorted(RULES.glob("*.yml")), strict=True):
        assert resource["kind"] == "PrometheusRule"
        assert resource["spec"] == yaml.safe_load(path.read_text())
    component = ROOT / "deploy/kubernetes/components/prometheus-operator"
    monitor = yaml.safe_load((component / "podmonitor.yaml").read_text())
    label = monitor["spec"]["jobLabel"]
    assert monitor["spec"]["selector"]["matchLabels"][label] == "storm"
