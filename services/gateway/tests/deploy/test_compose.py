# ruff: noqa: S603 what is started here stands in the repository
"""compose.yaml: it is what Compose reads, names what there is, keeps no secret, and its parts fit:
NATS, Valkey, PostgreSQL and a node run with its files, its commands and its settings.
"""

import importlib.util
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import yaml

from shown import ROOT
from storm_gateway.config import Config
from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.stack.programs import nats_server, postgres, valkey_server
from storm_gateway.stack.valkey import ValkeyServer

TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = [name for name in SERVICES if name.startswith("storm-")]
MAKE_SECRETS = ROOT / "deploy/compose/make_secrets.py"
WAIT_SECONDS = 60


# --- as it is written ---


def schema_of_compose() -> Any:
    """The one of the Compose specification."""
    # Found, not imported: it brings much that is not needed to read a file.
    found = importlib.util.find_spec("check_jsonschema")
    assert found is not None
    assert found.origin is not None
    vendored = Path(found.origin).parent / "builtin_schemas/vendor"
    schema = json.loads((vendored / "compose-spec.json").read_text("utf-8"))
    return jsonschema_rs.validator_for(schema)


def test_it_follows_the_schema_of_the_compose_specification() -> None:
    validator = schema_of_compose()
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    broken = yaml.safe_load(TEXT.replace("    restart: unless-stopped\n", "    restart: [never]\n"))
    assert not validator.is_valid(broken)
    broken = yaml.safe_load(TEXT.replace("stop_signal:", "stop_signals:"))
    assert not validator.is_valid(broken)


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """(source, target, read-only) of each volume."""
    for entry in service.get("volumes", ()):
        source, target, *mode = entry.split(":")
        yield source, target, mode == ["ro"]


def test_every_file_and_volume_that_is_mounted_is_there() -> None:
    used = set()
    for name, service in SERVICES.items():
        for source, target, read_only in mounts(service):
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert read_only, f"{name}: {source} can be written"
            else:
                used.add(source)
            assert target.startswith("/")
    assert used == set(COMPOSE["volumes"])
    named = {network for service in SERVICES.values() for network in service.get("networks", ())}
    assert named == set(COMPOSE["networks"])


def test_several_nodes_get_settings_that_there_are() -> None:
    assert len(NODES) >= 3
    known = {f"STORM_{field.upper()}" for field in Config.model_fields}
    for name in NODES:
        environment = SERVICES[name]["environment"]
        assert set(environment) <= known
        assert environment["STORM_NODE_NAME"] == name
        assert environment["STORM_ADDR"] == ":8080"
        # What it believes is what the network is.
        (network,) = COMPOSE["networks"]["edge"]["ipam"]["config"]
        assert environment["STORM_TRUSTED_PROXIES"] == network["subnet"]
        assert environment["STORM_COOKIE_SECURE"] == "true"


def test_nobody_is_killed_while_draining() -> None:
    defaults = {name: Config.model_fields[name].default for name in Config.model_fields}
    for name in NODES:
        environment = SERVICES[name]["environment"]
        times = ("drain_seconds", "close_seconds")
        needs = sum(float(environment.get(f"STORM_{t.upper()}", defaults[t])) for t in times)
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > needs


def test_no_secret_stands_in_it() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY", variable):
                assert str(value).startswith("/run/secrets"), f"{name}: {variable}"
    assert not re.search(r"://[^\s/]*:[^\s/]*@", TEXT)
    # Each volume of secrets is for the one who makes them and for one kind of service.
    for volume in (each for each in COMPOSE["volumes"] if each.endswith("-secrets")):
        having = {
            re.sub(r"-\d+$", "", name)
            for name, service in SERVICES.items()
            for source, _, _ in mounts(service)
            if source == volume
        }
        assert having == {"secrets", volume.removesuffix("-secrets")}


def test_everybody_waits_for_those_they_need() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            needed = SERVICES[other]
            if how["condition"] == "service_healthy":
                assert "test" in needed["healthcheck"], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert needed["restart"] == "no"
        if any(source.endswith("-secrets") for source, _, _ in mounts(service)):
            assert name == "secrets" or "secrets" in service["depends_on"]
    for name in NODES:
        assert set(SERVICES[name]["depends_on"]) == {"secrets", "nats", "valkey", "postgres"}
        assert name in SERVICES["proxy"]["depends_on"]


def test_everybody_may_do_little_and_only_this_machine_gets_in() -> None:
    for name, service in SERVICES.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        if name != "postgres":  # its image makes its own folders
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
        assert service["logging"]["options"]["max-size"], name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"
            assert COMPOSE["networks"]["outside"] == {}
    for name in NODES:
        assert "ports" not in SERVICES[name]
        # The one of the image.
        assert f"USER {SERVICES[name]['user']}\n" in (ROOT / "Dockerfile").read_text("utf-8")
    assert [name for name, each in COMPOSE["networks"].items() if not each] == ["outside"]


def test_images_are_pinned_and_the_servers_are_those_of_the_tests() -> None:
    tags = {}
    for name, service in SERVICES.items():
        repository, _, tag = service["image"].partition(":")
        if repository == "storm":
            assert "build" in service
            continue
        assert re.match(r"v?\d+\.\d+(\.\d+)?(-|$)", tag), f"{name}: {tag}"
        # A registry would stand before it.
        assert "." not in repository
        tags[name] = tag
    for name, *program in (
        ("nats", nats_server(), "--version"),
        ("valkey", valkey_server(), "--version"),
        ("postgres", postgres("postgres"), "--version"),
        ("proxy", Path(sys.executable).with_name("caddy"), "version"),
    ):
        if not Path(program[0]).exists():
            continue  # Caddy is not there for every system
        told = subprocess.run(program, capture_output=True, text=True, check=True)
        version = re.search(r"\d+\.\d+(\.\d+)?", told.stdout)
        assert version is not None
        assert tags[name].partition("-")[0] == version[0], f"{name}: {told.stdout}"


def test_the_guides_name_addresses_and_files_that_there_are() -> None:
    guide = (ROOT / "docs/guides/docker.md").read_text("utf-8")
    published = {
        port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())
    }
    rows = re.findall(r"^\| `https?://localhost:(\d+)`", guide, re.MULTILINE)
    assert sorted(rows) == sorted(published)
    for name in ("docker", "one-server"):
        text = (ROOT / f"docs/guides/{name}.md").read_text("utf-8")
        for path in set(re.findall(r"\bdeploy/[\w./-]*\w", text)):
            assert (ROOT / path).exists(), f"{name}: {path}"


def overrides(guide: str) -> list[dict[str, Any]]:
    """What the guide would have people write into compose.override.yaml."""

    class Loader(yaml.SafeLoader):
        """Compose's own tags say how to merge; what is merged is an ordinary value."""

    Loader.add_constructor("!override", Loader.construct_sequence)
    blocks = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    return [yaml.load(block, Loader) for block in blocks]  # noqa: S506 a safe one


def test_changes_that_the_guide_proposes_are_of_services_and_networks_that_there_are() -> None:
    proposed = overrides((ROOT / "docs/guides/docker.md").read_text("utf-8"))
    assert len(proposed) >= 3
    for change in proposed:
        assert [error.message for error in schema_of_compose().iter_errors(change)] == []
        for name, service in change["services"].items():
            assert name in SERVICES
            assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
            assert set(service.get("depends_on", ())) <= set(SERVICES)
            for variable in service.get("environment", ()):
                assert variable.removeprefix("STORM_").lower() in Config.model_fields
            # Who is left out is waited for by nobody.
            for other, needed in change["services"].items():
                if "profiles" in needed and other in SERVICES[name].get("depends_on", {}):
                    assert service["depends_on"][other]["required"] is False


# --- the secrets ---


def make_secrets(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, MAKE_SECRETS, folder], capture_output=True, text=True, check=False
    )


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The volumes of the secrets, after the first start."""
    for source, target, _ in mounts(SERVICES["secrets"]):
        if source.endswith("-secrets"):
            (tmp_path / target.lstrip("/")).mkdir(parents=True)
    assert make_secrets(tmp_path / "secrets").returncode == 0
    return tmp_path / "secrets"


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_secrets_are_made_once_and_another_time_they_stay(secrets: Path) -> None:
    made = contents(secrets)
    passwords = [text for name, text in made.items() if name.endswith(("password", "jwt_secret"))]
    assert len(set(passwords)) == len(passwords) == 5
    assert all(len(password.strip()) == 64 for password in passwords)
    for name in made:
        # Every image is another user; nobody can change them.
        assert stat.S_IMODE((secrets / name).stat().st_mode) == 0o444
    again = make_secrets(secrets)
    assert (again.returncode, again.stdout) == (0, "")
    assert contents(secrets) == made
    # What a start that was interrupted left out is made the next time.
    (secrets / "storm/storm_nats_url").unlink()
    (secrets / "storm/.storm_nats_url.draft").write_text("half")
    make_secrets(secrets)
    assert contents(secrets) == made


def test_a_volume_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "storm").mkdir()
    ran = make_secrets(tmp_path)
    assert ran.returncode == 1
    assert "missing: postgres, nats, valkey, grafana" in ran.stderr
    assert contents(tmp_path) == {}


# --- as it runs ---


def inside(name: str, secrets: Path, folder: Path) -> dict[str, str]:
    """The files of a service as it sees them, below ``folder``: the path there → the path here."""
    seen = {}
    for source, target, _ in mounts(SERVICES[name]):
        here = secrets / source.removesuffix("-secrets")
        if source.startswith("./"):
            there = folder / target.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_text((ROOT / source).read_text("utf-8"))
        elif here.is_dir():
            there = folder / target.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            there.symlink_to(here)
        seen[target] = str(folder / target.lstrip("/"))
    for path in folder.rglob("*.conf"):
        if not path.is_symlink() and path.parent.resolve().is_relative_to(folder):
            text = path.read_text("utf-8")
            for there_, here_ in seen.items():
                text = text.replace(f" {there_}", f" {here_}")
            path.write_text(text)
    return seen


def command(name: str, seen: dict[str, str]) -> list[str]:
    return [seen.get(word, word) for word in SERVICES[name]["command"]]


class Nats(NatsServer):
    """With the command and the configuration of compose.yaml, on a free port."""

    words: Sequence[str] = ()

    def prepare(self) -> None:
        pass

    def command(self) -> Sequence[str]:
        assert self.words[0] == "nats-server"
        return [nats_server(), *self.words[1:], "--addr", self.host, "--port", str(self.port)]


class Valkey(ValkeyServer):
    """With the command and the configuration of compose.yaml, on a free port."""

    words: Sequence[str] = ()

    def prepare(self) -> None:
        pass

    def command(self) -> Sequence[str]:
        assert self.words[0] == "valkey-server"
        here = ("--bind", self.host, "--port", str(self.port))
        return [valkey_server(), *self.words[1:], *here]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def said(port: int, words: bytes = b"") -> bytes:
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
        if words:
            connection.sendall(words)
        return connection.recv(4096)


def test_servers_and_a_node_run_with_the_secrets_that_were_made(
    secrets: Path, tmp_path: Path
) -> None:
    seen = {}
    for name in ("nats", "valkey"):
        (tmp_path / name).mkdir()
        seen[name] = inside(name, secrets, tmp_path / name)
    with ExitStack() as cleanup:
        nats = Nats(tmp_path / "run-nats")
        # Its page for the health check has a fixed port, which somebody may have here.
        config = Path(seen["nats"]["/etc/nats/nats.conf"])
        config.write_text(config.read_text().replace(":8222", f":{free_port()}"))
        nats.words = command("nats", seen["nats"])
        valkey = Valkey(tmp_path / "run-valkey")
        valkey.words = command("valkey", seen["valkey"])
        password = (secrets / "postgres/password").read_text().strip()
        given = dict(word.split("=") for word in SERVICES["postgres"]["command"][2::2])
        database = PostgresServer(tmp_path / "pg", password=password, settings=given)
        for server in (nats, valkey, database):
            cleanup.callback(server.stop)
            server.start()

        # Nobody gets in without the password.
        assert b'"auth_required":true' in said(nats.port)
        assert said(valkey.port, b"PING\r\n").startswith(b"-NOAUTH")

        # The addresses, where the names of the services are those of this machine.
        folder = secrets / "storm"
        for name, server in (("nats", nats), ("valkey", valkey), ("postgres", database)):
            (path,) = (p for p in folder.iterdir() if f"@{name}:" in p.read_text())
            address = re.sub(rf"@{name}:\d+", f"@127.0.0.1:{server.port}", path.read_text())
            path.unlink()
            path.write_text(address)

        port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STORM_")},
            **SERVICES[NODES[0]]["environment"],
            "STORM_SECRETS_DIR": str(folder),
            "STORM_ADDR": f"127.0.0.1:{port}",
        }
        storm = Path(sys.executable).with_name("storm")
        log = cleanup.enter_context((tmp_path / "log").open("wb"))
        node = subprocess.Popen([storm, "serve"], env=environment, stdout=log, stderr=log)
        cleanup.callback(node.wait, WAIT_SECONDS)
        cleanup.callback(node.terminate)

        check = SERVICES[NODES[0]]["healthcheck"]["test"]
        assert check[:2] == ["CMD", "storm-healthcheck"]
        asked = [sys.executable, ROOT / "deploy/docker/healthcheck.py", *check[2:]]
        until = time.monotonic() + WAIT_SECONDS
        while subprocess.run(asked, env=environment, check=False, capture_output=True).returncode:
            assert node.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.1)
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        assert f'node="{NODES[0]}"' in text
