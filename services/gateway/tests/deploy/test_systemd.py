# ruff: noqa: S603 what is started here stands in the repository
"""The unit for systemd: systemd reads it without a word, it may do little, and its limits and times
fit the settings. Its example of settings can work.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from shown import ROOT
from storm_gateway.cli.settings import OF_THE_CLIENT
from storm_gateway.config import Config

FOLDER = ROOT / "deploy/systemd"
STORM = Path(sys.executable).with_name("storm")
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 2.0
"""What systemd calls OK ends at 5; what speaks over the network has 0.8 for that alone."""

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="there is no systemd on this machine")


def options(*names: str) -> dict[str, list[str]]:
    """What the files say, in order: option → its values; an empty one forgets those before."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for line in (FOLDER / name).read_text("utf-8").splitlines():
            key, sign, value = line.partition("=")
            if sign and not line.startswith("#"):
                found[key] = [*found[key], value] if value else []
    return found


def installed(folder: Path, change: str = "", to: str = "") -> Path:
    """The unit and its drop-in as on a server, where the command is the one of this environment."""
    unit, more = folder / "storm.service", folder / "storm.service.d/several-nodes.conf"
    more.parent.mkdir(exist_ok=True)
    for source, target in (("storm.service", unit), ("several-nodes.conf", more)):
        text = (FOLDER / source).read_text("utf-8").replace("/opt/storm/bin/storm", str(STORM))
        target.write_text(text.replace(change, to) if change else text)
    return unit


def analyze(*words: str, unit: Path) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    # Other units of the machine are not looked for: only what is in the folder and in systemd.
    return subprocess.run(
        [ANALYZE, "--man=no", *words, str(unit)],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{unit.parent}:"},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_systemd
def test_systemd_reads_the_unit_without_a_word(tmp_path: Path) -> None:
    ran = analyze("verify", unit=installed(tmp_path))
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    broken = analyze("verify", unit=installed(tmp_path, "Sec=60s", "Sec=ages"))
    assert "Failed to parse time value" in broken.stderr
    broken = analyze("verify", unit=installed(tmp_path, "TasksMax=", "TaskMax="))
    assert "TaskMax" in broken.stderr


@needs_systemd
def test_the_service_may_do_little(tmp_path: Path) -> None:
    bound = ("security", "--offline=yes", f"--threshold={int(EXPOSURE * 10)}")
    ran = analyze(*bound, unit=installed(tmp_path))
    if "unrecognized option" in ran.stderr:
        pytest.skip("this systemd judges only services that run")
    assert ran.returncode == 0, ran.stdout
    assert analyze(*bound, unit=installed(tmp_path, "CapabilityBoundingSet=\n", "")).returncode != 0


def test_limits_and_times_fit_the_settings() -> None:
    said = options("storm.service")
    defaults = {name: field.default for name, field in Config.model_fields.items()}
    seconds = int(said["TimeoutStopSec"][0].removesuffix("s"))
    assert seconds >= defaults["drain_seconds"] + defaults["close_seconds"] + 10
    assert int(said["LimitNOFILE"][0]) >= 200_000
    # The nodes of `storm serve --workers` are drained by their supervisor.
    assert said["KillMode"] == ["mixed"]
    assert said["KillSignal"] == ["SIGTERM"]
    # Nodes end by themselves when a backup was restored.
    assert said["Restart"] == ["always"]
    assert said["User"] == ["storm"]
    (command,) = said["ExecStart"]
    assert command.endswith("/storm serve")
    # One node ends at SIGHUP; several are replaced.
    assert "ExecReload" not in said
    several = options("storm.service", "several-nodes.conf")
    assert re.fullmatch(r".*/storm serve --workers \d+", *several["ExecStart"])
    assert several["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_what_the_unit_writes_is_the_folder_of_the_data() -> None:
    said = options("storm.service")
    assert said["ProtectSystem"] == ["strict"]
    (variables,) = said["Environment"]
    set_there = dict(word.split("=", 1) for word in variables.split())
    assert set_there["STORM_DATA_DIR"] == f"/var/lib/{said['StateDirectory'][0]}"
    assert said["StateDirectoryMode"] == ["0700"]
    assert "ReadWritePaths" not in said


def check(example: str) -> subprocess.CompletedProcess[str]:
    """``storm config check`` with a file of settings, read as systemd reads it."""
    lines = (line.strip() for line in example.splitlines())
    variables = dict(line.split("=", 1) for line in lines if line and line[0] not in "#;")
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("STORM_")}
    return subprocess.run(
        [STORM, "config", "check", "--strict"],
        env=cleared | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_of_settings_can_work(tmp_path: Path) -> None:
    example = (FOLDER / "storm.env.example").read_text("utf-8")
    here = f"STORM_DATA_DIR={tmp_path}\n"
    ran = check(example + here)
    assert (ran.returncode, ran.stdout) == (0, "the settings can work\n"), ran.stderr
    # All of it, with what is left out filled in.
    whole = re.sub(r"^#(STORM_)", r"\1", example, flags=re.MULTILINE)
    ran = check(whole.replace("JWT_SECRET=", "JWT_SECRET=" + "0" * 64) + here)
    assert (ran.returncode, ran.stdout) == (0, "the settings can work\n"), ran.stderr
    named = set(re.findall(r"\bSTORM_[A-Z_]+", example)) - OF_THE_CLIENT
    assert named <= {f"STORM_{field.upper()}" for field in Config.model_fields}
    # No secret came in.
    assert re.findall(r"JWT_SECRET=(.*)", example) == [""]
    assert set(re.findall(r":([^:@/]*)@", example)) == {"PASSWORD"}
