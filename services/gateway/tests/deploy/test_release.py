# ruff: noqa: S603 what is started here stands in the repository
"""Releases: the version comes from the tag, the changelog knows it, the wheel is all one needs."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx2
import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from shown import README, ROOT, Node, conversation, converse

GATEWAY = ROOT / "services/gateway"
SCRIPTS = GATEWAY / "scripts"
PYPROJECT = tomllib.loads((GATEWAY / "pyproject.toml").read_text("utf-8"))
PAGE = GATEWAY / "src/storm_gateway/web/index.html"
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(
        ("STORM_", "COVERAGE", "PYTHON", "VIRTUAL_ENV", "SETUPTOOLS_SCM", "GIT_")
    )
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """With the filter that later Pythons ask for and 3.11.2 does not know."""
    if hasattr(tarfile, "data_filter"):
        archive.extraction_filter = tarfile.data_filter
    archive.extractall(folder)  # noqa: S202 we packed it


# Half a minute on a machine of its own; whichever test comes first waits for it, others beside it.
DIST_SECONDS = 240
needs_dist = pytest.mark.timeout(DIST_SECONDS + 120)

changelog = load("changelog")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


def said(*words: str, folder: Path, **variables: str) -> str:
    ran = subprocess.run(
        words,
        cwd=folder,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.strip()


# --- the changelog ---


def test_the_changelog_has_its_form_and_knows_every_tag() -> None:
    tags: list[str] = []
    if (ROOT / ".git").exists() and shutil.which("git"):
        tags = said("git", "tag", "--list", "v[0-9]*", folder=ROOT).splitlines()
    assert changelog.faults(CHANGELOG, tags) == []


GOOD = (
    "# Changelog\n\n## 1.1.0 - Unreleased\n\n- New.\n\n## 1.0.0 - 2026-01-31\n\n- First.\n"
).replace(" - ", f" {changelog.DASH} ")


@pytest.mark.parametrize(
    ("text", "tags", "fault"),
    [
        ("# Changelog\n", [], "there is no version"),
        (GOOD.replace("Unreleased", "soon"), [], "1.1.0: 'soon' is no date"),
        (GOOD.replace(f" {changelog.DASH} Unreleased", ""), [], "1.1.0: '' is no date"),
        (GOOD.replace("2026-01-31", "Unreleased"), [], "1.0.0: only the newest version may be"),
        (GOOD.replace("- New.\n", ""), [], "1.1.0: nothing is said about it"),
        (GOOD.replace("1.1.0", "0.9.0"), [], "the newest version does not come first"),
        (GOOD.replace("1.1.0", "next"), [], "next is no version"),
        (GOOD, ["v1.0.0", "v1.0.1"], "v1.0.1 is tagged and has no section"),
        (GOOD, ["v1.1.0"], "v1.1.0 is tagged and said to be unreleased"),
    ],
)
def test_a_changelog_with_a_fault_is_refused(text: str, tags: list[str], fault: str) -> None:
    assert changelog.faults(GOOD, ["v1.0.0"]) == []
    assert [found for found in changelog.faults(text, tags) if found.startswith(fault)]


def test_notes_of_a_release_are_its_section_and_there_are_none_before_it() -> None:
    assert changelog.notes(GOOD, "1.0.0") == "- First."
    for version in ("1.1.0", "2.0.0"):
        with pytest.raises(ValueError, match=f"no section for {version} with a date"):
            changelog.notes(GOOD, version)


# --- the version ---


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The package's project in a repository of its own, with one commit and no tag."""
    project = tmp_path / "services/gateway"
    (project / "src/storm_gateway").mkdir(parents=True)
    (project / "src/storm_gateway/__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "hatch_build.py"):
        shutil.copy(GATEWAY / name, project)
    for name in (".git_archival.txt", ".gitattributes", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(tree: Path, *words: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return said("git", *who, *words, folder=tree)


def commit(tree: Path) -> None:
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "A change")


def version_of(tree: Path, **variables: str) -> str:
    project = tree / "services/gateway"
    return said(sys.executable, "-m", "hatchling", "version", folder=project, **variables)


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


@needs_git
def test_the_version_is_that_of_the_tag_and_says_what_came_after(tree: Path) -> None:
    git(tree, "tag", "v1.2.3")
    assert version_of(tree) == "1.2.3"
    git(tree, "tag", "not-a-version-9")
    commit(tree)
    after = Version(version_of(tree))
    assert after.base_version == "1.2.4"
    assert after.dev == 1
    assert str(after.local).startswith(f"g{git(tree, 'rev-parse', '--short=7', 'HEAD')}")


@needs_git
def test_the_version_is_known_without_git(tree: Path) -> None:
    git(tree, "tag", "v1.2.3")
    packed = tree / "packed"
    packed.mkdir()
    git(tree, "archive", "--output", str(tree / "tree.tar"), "HEAD")
    with tarfile.open(tree / "tree.tar") as archive:
        unpack(archive, packed)
    (tree / ".git").rename(tree / "no-git")
    fallback = PYPROJECT["tool"]["hatch"]["version"]["fallback-version"]
    assert version_of(packed) == "1.2.3"
    assert version_of(tree) == fallback
    # As the Dockerfile says it, also when it has nothing to say.
    assert version_of(tree, SETUPTOOLS_SCM_PRETEND_VERSION="4.5.6") == "4.5.6"
    assert version_of(tree, SETUPTOOLS_SCM_PRETEND_VERSION="") == fallback


def test_where_nobody_knows_it_is_the_version_that_the_changelog_is_about() -> None:
    fallback = Version(PYPROJECT["tool"]["hatch"]["version"]["fallback-version"])
    assert fallback.is_devrelease
    assert fallback.base_version == next(iter(changelog.sections(CHANGELOG)))


# --- what is released ---


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make dist`` makes, once for all processes that run tests."""
    if not PAGE.is_file():
        pytest.skip("the web client is not built: make client")
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, failed = base / "made-by-dist", base / "dist-failed"
    try:
        folder.mkdir()
    except FileExistsError:
        until = time.monotonic() + DIST_SECONDS
        # The last file that is written.
        last = folder / "SHA256SUMS"
        while not (last.is_file() and last.stat().st_size):
            assert not failed.exists()
            assert time.monotonic() < until
            time.sleep(0.1)
        return folder
    try:
        said(sys.executable, str(SCRIPTS / "release.py"), str(folder), folder=ROOT)
    except BaseException:
        failed.touch()
        raise
    return folder


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@needs_dist
def test_checksums_are_those_of_all_files(made: Path) -> None:
    lines = (made / "SHA256SUMS").read_text("ascii").splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    files = {path.name: path for path in made.iterdir() if path.name != "SHA256SUMS"}
    assert len(files) == 4
    assert listed == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }


@needs_dist
def test_the_same_commit_gives_the_same_wheel(made: Path, tmp_path: Path) -> None:
    wheel = one(made, "*.whl")
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(tmp_path))
    # The version in the name has the day, where something is not committed yet.
    version = zipfile.Path(wheel).name.split("-")[1]
    variables = {"SETUPTOOLS_SCM_PRETEND_VERSION": version}
    if (ROOT / ".git").exists():
        variables["SOURCE_DATE_EPOCH"] = said("git", "log", "-1", "--format=%ct", folder=ROOT)
    said(*build, folder=GATEWAY, **variables)
    assert one(tmp_path, "*.whl").read_bytes() == wheel.read_bytes()


@needs_dist
def test_bills_of_materials_name_what_is_locked(made: Path) -> None:
    bill = json.loads(one(made, "storm_gateway-*.cdx.json").read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    about = bill["metadata"]["component"]
    assert (about["name"], about["type"]) == ("storm-gateway", "application")
    assert about["version"] in one(made, "*.whl").name
    held = {canonicalize_name(each["name"]): each["version"] for each in bill["components"]}
    lock = (GATEWAY / "requirements.lock").read_text("utf-8")
    assert held == {canonicalize_name(name): version for name, version in PIN.findall(lock)}
    for each in bill["components"]:
        hashes = [r for r in each["externalReferences"] if r.get("hashes")]
        assert hashes, each["name"]
    web = json.loads(one(made, "storm-web-*.cdx.json").read_text("utf-8"))
    assert web["bomFormat"] == "CycloneDX"
    held = {each["name"]: each["version"] for each in web["components"]}
    package = json.loads((ROOT / "frontend/package.json").read_text("utf-8"))
    assert package["dependencies"].items() <= held.items()
    assert not package["devDependencies"].keys() & held.keys()


@needs_dist
def test_the_source_distribution_knows_its_version_and_has_the_web_client(
    made: Path, tmp_path: Path
) -> None:
    with tarfile.open(one(made, "*.tar.gz")) as archive:
        unpack(archive, tmp_path)
    (source,) = tmp_path.iterdir()
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
    said(*build, folder=source)
    wheel, again = one(made, "*.whl"), one(source / "dist", "*.whl")
    assert again.name == wheel.name
    names = zipfile.ZipFile(again).namelist()
    assert sorted(names) == sorted(zipfile.ZipFile(wheel).namelist())
    assert "storm_gateway/web/index.html" in names


@needs_dist
def test_the_wheel_brings_its_licence(made: Path) -> None:
    with zipfile.ZipFile(one(made, "*.whl")) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
        assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()


class Installed(Node):
    """A node from an environment that holds nothing but the wheel and what it asks for."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.command = (str(programs / "storm"), "serve")
        super().__init__(folder)
        # For the commands of the conversation, too.
        self.environment["PATH"] = f"{programs}:{os.environ['PATH']}"


@pytest.fixture
def installed(made: Path, tmp_path: Path) -> Iterator[Installed]:
    """As ``pipx install storm-gateway && storm serve``, at the versions that were tested."""
    place = tmp_path / "empty"
    said(sys.executable, "-m", "venv", "--without-pip", str(place), folder=tmp_path)
    uv = Path(sys.executable).with_name("uv")
    said(
        *(str(uv), "pip", "install", "--quiet", "--python", f"{place}/bin/python"),
        *("--constraint", str(GATEWAY / "requirements.lock"), str(one(made, "*.whl"))),
        folder=tmp_path,
    )
    (tmp_path / "node").mkdir()
    node = Installed(tmp_path / "node", place / "bin")
    try:
        node.wait()
        yield node
    finally:
        node.stop()


@needs_dist
def test_the_wheel_alone_serves_its_page_and_passes_the_conversation(installed: Installed) -> None:
    page = httpx2.get(f"http://{installed.address}/")
    assert page.status_code == 200
    assert page.content == PAGE.read_bytes()
    (script,) = set(re.findall(r'src="(/assets/index-[\w-]+\.js)"', page.text))
    assert httpx2.get(f"http://{installed.address}{script}").status_code == 200
    converse(installed, conversation(README, "## A first conversation"))
