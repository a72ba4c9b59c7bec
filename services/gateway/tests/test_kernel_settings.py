"""The kernel settings that are shipped are those that are documented, and do what is said."""

import re
from pathlib import Path

from shown import ROOT
from storm_gateway.cli.machine import facts
from storm_gateway.cli.verdicts import capacity, verdicts

SHIPPED = ROOT / "deploy/sysctl/90-storm.conf"
DOCUMENT = ROOT / "docs/kernel.md"


def settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^-?([a-z][\w.-]+) = (.+)$", text, re.M))


def test_the_page_shows_the_file_that_is_shipped() -> None:
    shown = re.search(r"```ini\n(.*?)```", DOCUMENT.read_text("utf-8"), re.S)
    assert shown is not None
    assert SHIPPED.read_text("utf-8").endswith(shown[1])
    assert len(settings(shown[1])) == 10


def test_each_setting_has_its_reason() -> None:
    table = DOCUMENT.read_text("utf-8").partition("## Why each")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z0-9_-]+)*)`", table))
    for name in settings(SHIPPED.read_text("utf-8")):
        assert name in named or name.rpartition(".")[2] in named, name


def test_the_names_are_those_of_this_kernel() -> None:
    for line in SHIPPED.read_text("utf-8").splitlines():
        # "-" marks those that need not exist; in a container others are hidden, too.
        if (found := re.match(r"([a-z][\w.-]+) = (.+)$", line)) is None:
            continue
        path = Path("/proc/sys", *found[1].split("."))
        if path.exists():
            assert len(path.read_text().split()) == len(found[2].split()), found[1]


def test_the_doctor_is_content_with_them_and_sees_room_for_100_000(tmp_path: Path) -> None:
    for name, value in settings(SHIPPED.read_text("utf-8")).items():
        path = tmp_path.joinpath("proc", "sys", *name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (tmp_path / "proc/meminfo").write_text(
        "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\n", "utf-8"
    )
    found = facts(0, tmp_path)
    kernel = [v for v in verdicts(found) if "net." in v.name or "conntrack" in v.name]
    assert len(kernel) == 6
    assert [(v.name, v.grade) for v in kernel if v.grade != "good"] == []
    bounds = capacity(found).bounds
    del bounds["file limit"]  # of whoever runs the tests
    assert min(bounds.values()) >= 100_000, bounds
