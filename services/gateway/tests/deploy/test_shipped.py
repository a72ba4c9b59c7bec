"""deploy/README.md says which test holds what is shipped, and leaves nothing out."""

import re
from pathlib import Path

from shown import ROOT

TABLE = ROOT / "deploy/README.md"
TESTS = ROOT / "services/gateway/tests"
MADE = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def cells(table: str) -> tuple[set[str], set[str]]:
    """What the table names: configurations, and tests."""
    rows = [line.split("|") for line in table.splitlines() if re.match(r"\| (?:`|\|)", line)]
    configurations = {name for row in rows for name in re.findall(r"`([^`]+)`", row[1])}
    tests = {name for row in rows for name in re.findall(r"`(test_\w+\.py)`", row[2])}
    return configurations, tests


def shipped() -> list[Path]:
    """Paths in the repository."""
    found = [path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path != TABLE]
    found += [ROOT / name for name in ("Dockerfile", ".dockerignore", "compose.yaml")]
    return [path.relative_to(ROOT) for path in found if not MADE & set(path.parts)]


def faults(table: str) -> list[str]:
    configurations, tests = cells(table)
    places = {name: f"deploy/{name}" for name in configurations if (TABLE.parent / name).exists()}
    places |= {name: name for name in configurations - places.keys() if (ROOT / name).exists()}
    found = [f"there is no {name}" for name in configurations - places.keys()]
    found += [
        f"there is no test {name}"
        for name in tests
        if not any((folder / name).is_file() for folder in (TESTS / "deploy", TESTS))
    ]
    found += [
        f"no test is named for {path}"
        for path in shipped()
        if not any(path.is_relative_to(place) for place in places.values())
    ]
    there = {path.name for path in (TESTS / "deploy").glob("test_*.py")}
    # Releases are no configuration, and this is about the table.
    others = there - tests - {"test_release.py", "test_shipped.py"}
    return found + [f"{name} holds nothing that is named" for name in sorted(others)]


def test_each_shipped_configuration_has_a_test_that_is_there() -> None:
    assert faults(TABLE.read_text("utf-8")) == []


def test_a_table_that_leaves_something_out_or_names_what_is_not_there_is_refused() -> None:
    table = TABLE.read_text("utf-8")
    assert "no test is named for deploy/sysctl/90-storm.conf" in faults(
        table.replace("`sysctl/`", "`systemd/`")
    )
    assert "there is no helm/" in faults(table.replace("`sysctl/`", "`helm/`"))
    assert "there is no test test_images.py" in faults(
        table.replace("test_image.py", "test_images.py")
    )
    assert "test_image.py holds nothing that is named" in faults(
        table.replace("`test_image.py`", "`test_compose.py`")
    )
