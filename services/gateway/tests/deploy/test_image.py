# ruff: noqa: S603 what is started here stands in the repository
"""The image: its Dockerfile is in order, and what it makes runs, without an engine for containers.

Static: the linter, the paths that are copied, and what an operator counts on. Real: the
instructions are carried out in a layer over this machine's file system (image_build.py), and what
comes out runs as the user of the image, with a root that cannot be written.
"""

import json
import re
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dockerfile
import httpx2
import image_build
import pytest
from dockerfile import ROOT, Ignore

from storm_gateway.config import Config

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
STAGES = ("client", "build", "storm")
VERSION = "7.8.9"
WAIT_SECONDS = 60
HADOLINT = Path(sys.executable).with_name("hadolint")


# --- as it is written ---


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint comes for Linux and macOS only")
def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    def lint(path: Path) -> str:
        ran = subprocess.run(
            [HADOLINT, "--no-color", str(path)], capture_output=True, text=True, check=False
        )
        return ran.stdout + ran.stderr

    assert lint(ROOT / "Dockerfile") == ""
    broken = tmp_path / "Dockerfile"
    broken.write_text(
        TEXT.replace("-slim-trixie AS storm", " AS storm").replace("${PYTHON}", "latest")
    )
    assert "DL3007" in lint(broken)


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_copied_is_there_and_is_sent_to_the_builder(stage: str) -> None:
    sent = list(dockerfile.context())
    copies = dockerfile.of(stage, "COPY")
    assert copies
    for each in copies:
        if "from" in each.flags:
            assert each.flags["from"] in STAGES
            continue
        for source in each.words[:-1]:
            assert (ROOT / source).exists(), f"COPY {source}: there is no such file"
            path = source.rstrip("/")
            assert any(name == path or name.startswith(f"{path}/") for name in sent), source


def test_the_builder_is_sent_nothing_else() -> None:
    copied = tuple(
        source.rstrip("/")
        for stage in STAGES
        for each in dockerfile.of(stage, "COPY")
        if "from" not in each.flags
        for source in each.words[:-1]
    )
    for name in dockerfile.context():
        assert name.startswith(copied), f"{name} is sent, and nothing copies it"
        assert not re.search(r"(^|/)(tests?|node_modules|__pycache__|\.env[^/]*|web)/", name), name


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".storm/secret",
        ".env",
        "frontend/.env.local",
        "compose.override.yaml",
        "services/gateway/.storm/secret",
        "services/gateway/tests/conftest.py",
        "frontend/node_modules/vue/index.js",
        "deploy/systemd/storm.env.example",
    ],
)
def test_what_is_secret_or_only_for_work_is_never_sent_to_the_builder(path: str) -> None:
    """Whether it is in this tree or not."""
    assert Ignore((ROOT / ".dockerignore").read_text("utf-8")).excludes(path)


def test_the_ignored_files_are_read_as_docker_reads_them() -> None:
    ignore = Ignore("*\n!src\n# a remark\nsrc/web\n**/__pycache__\n!src/web/keep.txt\n*.log\n")
    for path in ("README", ".git/config", "src/web/index.html", "src/a/b/__pycache__/c.pyc"):
        assert ignore.excludes(path), path
    for path in ("src/a.py", "src/a/b.py", "src/web/keep.txt", "src/a.log"):
        assert not ignore.excludes(path), path


def test_nothing_names_a_registry_or_the_newest_version() -> None:
    bases = [each.text.split()[0] for each in dockerfile.instructions(TEXT) if each.name == "FROM"]
    assert len(bases) == 3
    for base in bases:
        assert re.fullmatch(r"(node|python):\$\{[A-Z]+\}(-slim)?-trixie(-slim)?", base), base
    assert "://" not in TEXT
    assert "latest" not in TEXT


def test_what_is_installed_comes_from_locks_with_hashes_and_needs_no_compiler() -> None:
    runs = [each.text for stage in STAGES for each in dockerfile.of(stage, "RUN")]
    assert [run for run in runs if "npm" in run and "npm ci" in run]
    parts = [part for run in runs for part in run.split("&&")]
    installs = [part for part in parts if re.search(r"pip (install|sync)", part)]
    assert len(installs) == 3
    for part in installs:
        locked = "--require-hashes" in part and "--only-binary :all:" in part
        # The wheel that was just built, and nothing from elsewhere.
        assert locked or ("--no-index" in part and "--no-deps" in part), part
    assert not [run for run in runs if re.search(r"apt|apk|gcc|build-essential|curl|wget", run)]


def test_what_runs_is_not_root_and_ends_with_time_to_drain() -> None:
    single = {each.name: each for each in dockerfile.of("storm")}
    uid, _, gid = single["USER"].text.partition(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    assert single["STOPSIGNAL"].text == "SIGTERM"
    assert single["EXPOSE"].text == "8080"
    assert single["VOLUME"].text == "/var/lib/storm"
    # Without a shell before it, so that the signal reaches it.
    assert single["ENTRYPOINT"].text == '["storm"]'
    assert single["CMD"].text == '["serve"]'
    # The time that the remark says: the default of both settings and more.
    drain = Config.model_fields["drain_seconds"].default
    close = Config.model_fields["close_seconds"].default
    (told,) = set(re.findall(r"--stop-timeout (\d+)", TEXT))
    assert int(told) > drain + close
    labels = {
        word.partition("=")[0] for each in dockerfile.of("storm", "LABEL") for word in each.words
    }
    wanted = ("title", "description", "licenses", "version", "revision", "created")
    assert {f"org.opencontainers.image.{name}" for name in wanted} <= labels


def test_its_health_is_whether_the_process_lives() -> None:
    (check,) = dockerfile.of("storm", "HEALTHCHECK")
    command, path = json.loads(check.text.removeprefix("CMD"))
    assert path == "/healthz"
    (copied,) = (each for each in dockerfile.of("storm", "COPY") if "healthcheck" in each.text)
    source, target = copied.words
    assert Path(target).name == command
    # It gives up first, so that there is a reason to read.
    patience = runpy.run_path(str(ROOT / source))["TIMEOUT_SECONDS"]
    assert patience < int(check.flags["timeout"].removesuffix("s"))
    assert int(check.flags["start-period"].removesuffix("s")) >= 30


def test_what_is_set_are_settings_that_there_are() -> None:
    names = [word.partition("=")[0] for e in dockerfile.of("storm", "ENV") for word in e.words]
    settings = [name for name in names if name.startswith("STORM_")]
    assert len(settings) == 2
    assert {f"STORM_{field.upper()}" for field in Config.model_fields} >= set(settings)


# --- as it runs ---


@pytest.fixture(scope="module")
def image() -> Iterator[image_build.Image]:
    if why := image_build.cannot():
        pytest.skip(why)
    if not (ROOT / "services/gateway/src/storm_gateway/web/index.html").is_file():
        pytest.skip("the web client is not built: make client")
    built = image_build.Image(VERSION)
    try:
        yield built
    finally:
        built.close()


class Container:
    """What ``docker run --read-only`` starts."""

    def __init__(self, image: image_build.Image, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.image = image
        self.settings = {"STORM_ADDR": self.address}
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                image.command(["storm", "serve"], **self.settings), stdout=output, stderr=output
            )

    def health(self, path: str) -> tuple[int, str]:
        ran = self.image.run("storm-healthcheck", path, **self.settings)
        return ran.returncode, ran.stdout + ran.stderr

    def wait(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while self.health("/readyz")[0]:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS)


@pytest.mark.timeout(300)
def test_the_image_runs_for_its_user_on_a_read_only_root(
    image: image_build.Image, tmp_path: Path
) -> None:
    (uid, gid) = re.findall(r"\d+", dockerfile.of("storm", "USER")[-1].text)
    assert image.run("id", "-u").stdout.strip() == uid
    for place in ("/x", "/tmp/x", "/opt/storm/x", "/usr/local/bin/x"):  # noqa: S108
        assert "Read-only file system" in image.run("touch", place).stderr, place
    assert image.run("sh", "-c", "touch x && rm x").returncode == 0
    # Compiled when it was built: a start would have to do it each time.
    compiled = "/opt/storm/lib/python*/site-packages/storm_gateway/__pycache__/app.*.pyc"
    assert image.run("sh", "-c", f"ls {compiled}").returncode == 0
    assert image.run("/opt/storm/bin/python", "-m", "pip").returncode == 1

    container = Container(image, tmp_path / "log")
    try:
        container.wait()
        # As the image asks.
        (check,) = dockerfile.of("storm", "HEALTHCHECK")
        asked = json.loads(check.text.removeprefix("CMD"))
        assert image.run(*asked, **container.settings).stdout == "200 ok\n"
        assert container.health("/healthz") == (0, "200 ok\n")
        assert container.health("/readyz")[0] == 0
        status, said = container.health("/nothing")
        assert (status, said[:4]) == (1, "404 ")
        page = httpx2.get(f"http://{container.address}/")
        assert page.status_code == 200
        assert "<title>STORM" in page.text
        (script,) = set(re.findall(r'src="(/assets/index-[\w-]+\.js)"', page.text))
        assert httpx2.get(f"http://{container.address}{script}").status_code == 200
        metrics = httpx2.get(f"http://{container.address}/metrics").text
        assert re.search(rf'^storm_build_info{{.*version="{VERSION}".*}} 1', metrics, re.MULTILINE)
        person = {"user_id": "alice", "password": "correct horse"}
        url = f"http://{container.address}/auth/register"
        assert httpx2.post(url, json=person).status_code == 201
    finally:
        status = container.stop()
    assert status == 0, container.log.read_text()
    status, said = container.health("/healthz")
    assert (status, "ConnectionRefusedError" in said) == (1, True)
    # What was said is in the volume, for its user alone.
    found = image.run("stat", "--format=%n %u:%g %a", ".", "storm.db", "secret")
    assert found.stdout.splitlines() == [
        f". {uid}:{gid} 700",
        f"storm.db {uid}:{gid} 600",
        f"secret {uid}:{gid} 600",
    ]
