# ruff: noqa: S603, S607 what is started here stands in the repository
"""The house is in order: packaging, lock files, verbs, CI. What a fresh clone depends on."""

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
GATEWAY = ROOT / "services/gateway"
PACKAGE = GATEWAY / "src/storm_gateway"
PYPROJECT = tomllib.loads((GATEWAY / "pyproject.toml").read_text())
LOCKS = (
    "requirements.lock",
    "requirements-stack.lock",
    "requirements-dev.lock",
    "requirements-build.lock",
)

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """Package → version of a lock file."""
    text = (GATEWAY / lock).read_text()
    return {canonicalize_name(name): version for name, version in PIN.findall(text)}


# --- the package ---


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that ``pip install ./services/gateway`` makes."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=GATEWAY,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_every_file_of_the_source(wheel: zipfile.ZipFile) -> None:
    expected = {
        str(path.relative_to(GATEWAY / "src"))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= set(wheel.namelist())
    assert "storm_gateway/py.typed" in expected


def test_wheel_holds_the_migrations(wheel: zipfile.ZipFile) -> None:
    migrations = [n for n in wheel.namelist() if n.startswith("storm_gateway/store/migrations/")]
    assert any(re.search(r"/versions/\w+\.py$", name) for name in migrations), migrations


def test_wheel_installs_the_command_storm(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (n for n in wheel.namelist() if n.endswith("dist-info/entry_points.txt"))
    assert "storm = storm_gateway.cli:main" in wheel.read(entry_points).decode()


def test_package_runs_from_the_wheel_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "storm_gateway", "--help"],
        cwd=tmp_path,
        # Not measured: the copy in the temporary folder is gone when coverage looks for it.
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        | {"PYTHONPATH": str(tmp_path), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "serve" in ran.stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The package's project as in a clone, without a web client, where git ignores one."""
    project = tmp_path / "services/gateway"
    ignored = shutil.ignore_patterns("web", "__pycache__")
    shutil.copytree(PACKAGE, project / "src/storm_gateway", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "hatch_build.py"):
        shutil.copy(GATEWAY / name, project)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    (tmp_path / ".git").mkdir()
    return project


def build(project: Path) -> tuple[set[str], str]:
    """The names in the wheel, and what the build said."""
    ran = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(project / "dist")],
        cwd=project,
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = (project / "dist").glob("*.whl")
    return set(zipfile.ZipFile(built).namelist()), ran.stdout + ran.stderr


def test_wheel_holds_the_built_web_client_although_git_ignores_it(source: Path) -> None:
    web = source / "src/storm_gateway/web"
    (web / "assets").mkdir(parents=True)
    names = ("index.html", "favicon.svg", "assets/index-1.js", "assets/index-1.js.br")
    for name in names:
        (web / name).write_text("made by the build")
    held, said = build(source)
    assert {f"storm_gateway/web/{name}" for name in names} <= held
    assert "web client" not in said


def test_wheel_without_the_web_client_is_built_and_says_so(source: Path) -> None:
    held, said = build(source)
    assert "storm_gateway/api/web.py" in held
    assert not [name for name in held if name.startswith("storm_gateway/web/")]
    assert "This wheel has no web client. To build one first: make client" in said


def test_init_files_hold_no_logic() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        for node in ast.parse(path.read_text()).body:
            plain = (
                isinstance(node, ast.Import | ast.ImportFrom)
                or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
                or (
                    isinstance(node, ast.Assign)
                    and [getattr(target, "id", "") for target in node.targets] == ["__all__"]
                )
            )
            assert plain, f"{path.relative_to(ROOT)}:{node.lineno} is logic"


# --- the lock files ---


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_lock_names_a_host(lock: str) -> None:
    text = (GATEWAY / lock).read_text()
    assert pins(lock)
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text):
        if PIN.match(entry):
            assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text


def test_lock_for_tests_holds_the_very_versions_of_the_locks_for_running() -> None:
    run, stack, dev = map(
        pins, ("requirements.lock", "requirements-stack.lock", "requirements-dev.lock")
    )
    assert {name: stack.get(name) for name in run} == run
    assert {name: dev.get(name) for name in stack} == stack


def test_lock_for_a_stack_brings_the_servers() -> None:
    locked = pins("requirements-stack.lock")
    servers = [Requirement(line) for line in PYPROJECT["project"]["optional-dependencies"]["stack"]]
    assert len(servers) == 3
    for server in servers:
        assert server.specifier.contains(locked[canonicalize_name(server.name)])


def test_locks_satisfy_what_the_package_asks_for() -> None:
    locked = pins("requirements.lock")
    for line in PYPROJECT["project"]["dependencies"]:
        wanted = Requirement(line)
        version = locked.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not locked: make lock"
        assert wanted.specifier.contains(version), f"{wanted.name}: make lock"


@pytest.mark.parametrize(
    ("source", "lock"),
    [
        ("requirements-dev.in", "requirements-dev.lock"),
        ("requirements-build.in", "requirements-build.lock"),
    ],
)
def test_locks_hold_what_their_sources_name(source: str, lock: str) -> None:
    locked = pins(lock)
    for line in (GATEWAY / source).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            assert canonicalize_name(Requirement(line).name) in locked, f"{line}: make lock"


def test_lock_for_building_is_closed_so_that_it_installs_without_resolving() -> None:
    locked = pins("requirements-build.lock")
    for name in locked:
        try:
            wanted = requires(name) or []
        except PackageNotFoundError:
            continue  # only needed on another platform
        for requirement in map(Requirement, wanted):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in locked


def test_there_is_no_lock_of_another_kind() -> None:
    assert not list(ROOT.glob("uv.lock"))
    assert not list(GATEWAY.glob("uv.lock"))


# --- the verbs ---


def make(*arguments: str) -> str:
    ran = subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )
    return ran.stdout


def test_make_alone_lists_every_verb() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = re.findall(r"^  ([a-z0-9-]+) ", make(), re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())
    assert {"run", "dev", "client", "test", "e2e", "check", "format", "docs", "bench"} <= set(
        listed
    )


def test_run_is_the_embedded_default_unless_workers_are_asked_for() -> None:
    alone, several = make("-n", "run"), make("-n", "run", "WORKERS=4")
    assert "bin/storm serve" in alone
    assert "storm up" not in alone
    assert "bin/storm up --workers 4" in several
    fresh = (f"VENV={ROOT}/.no-environment", "-n", "run")
    assert "requirements.lock" in make(*fresh)
    assert "requirements-stack.lock" not in make(*fresh)
    assert "requirements-stack.lock" in make(*fresh, "WORKERS=4")


def test_old_python_is_refused_with_a_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ran = subprocess.run(
        ["make", f"PYTHON={old}", f"VENV={tmp_path}/venv", f"{tmp_path}/venv/bin/python"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "STORM needs Python 3.11 or newer" in ran.stderr


# --- CI ---


def ci_run(tmp_path: Path, output: str, status: int) -> subprocess.CompletedProcess[str]:
    """``.ci/run`` with a make that prints ``output`` and ends with ``status``."""
    (tmp_path / "output").write_text(output)
    fake = tmp_path / "make"
    fake.write_text(f'#!/bin/sh\n[ "$1" = test ] || exit 9\ncat {tmp_path}/output\nexit {status}\n')
    fake.chmod(0o755)
    return subprocess.run(
        ["bash", str(ROOT / ".ci/run")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_ci_closes_with_the_counts_of_all_runs(tmp_path: Path) -> None:
    output = (
        "== 120 passed, 1 skipped in 61.20s (0:01:01) ==\nother text\n== 3 passed in 1.00s ==\n"
    )
    ran = ci_run(tmp_path, output, 0)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "123 passed, 0 failed, 1 skipped")


def test_ci_counts_the_tests_of_the_web_client(tmp_path: Path) -> None:
    output = (
        " Test Files  2 passed (2)\n"
        "\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[32m12 passed\x1b[39m\x1b[22m"
        "\x1b[90m (12)\x1b[39m\n"
        "== 120 passed in 61.20s (0:01:01) ==\n"
        "Running 4 tests using 1 worker\n  1 skipped\n  3 passed (10.2s)\n"
    )
    ran = ci_run(tmp_path, output, 0)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "135 passed, 0 failed, 1 skipped")
    output = (
        " Test Files  1 failed | 1 passed (2)\n"
        "      Tests  1 failed | 11 passed | 2 skipped (14)\n"
        "  2 failed\n    [chromium] e2e/outbox.spec.ts:3:1 9 passed (9)\n"
        "  1 flaky\n  1 did not run\n  5 passed (1.5m)\n"
    )
    ran = ci_run(tmp_path, output, 2)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (2, "17 passed, 3 failed, 3 skipped")


def test_ci_fails_when_tests_fail(tmp_path: Path) -> None:
    ran = ci_run(tmp_path, "= 2 failed, 118 passed, 1 error in 61.20s =\n", 2)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (2, "118 passed, 3 failed, 0 skipped")


def test_ci_fails_when_a_check_fails_after_green_tests(tmp_path: Path) -> None:
    assert ci_run(tmp_path, "= 118 passed in 61.20s =\n", 2).returncode == 2


def test_ci_fails_when_no_test_ran(tmp_path: Path) -> None:
    assert ci_run(tmp_path, "= no tests ran in 0.01s =\n", 0).returncode == 1


def test_ci_run_is_executable_and_calls_make_test() -> None:
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert "make test" in script.read_text()


def test_workflows_call_the_verbs_and_may_only_read() -> None:
    workflows = list((ROOT / ".github/workflows").glob("*.yml"))
    assert workflows
    for path in workflows:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            commands = [step["run"] for step in job["steps"] if "run" in step]
            assert commands
            assert all(command.startswith("make ") for command in commands)


def test_workflow_runs_every_supported_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert {"3.11", "3.12", "3.13"} <= set(versions)


def test_hooks_are_local_and_run_the_tools_of_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    for repo in config["repos"]:
        assert repo["repo"] == "local"
        for hook in repo["hooks"]:
            assert hook["language"] == "system"
            assert ".venv/bin/" in hook["entry"]


def test_licence_is_the_unmodified_text_that_the_package_names() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert text.rstrip().endswith("limitations under the License.")
    assert len(text.splitlines()) == 202
