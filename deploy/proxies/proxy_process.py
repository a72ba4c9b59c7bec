# ruff: noqa: S603 the programs are the system's, the configurations those beside this file
"""Starts a proxy with the configuration shipped here, on this machine's own addresses.

What is filled in is what the files mark as CHANGE (nodes, certificate), the ports and the places of
logs; a place that is not found is an error, so that what runs is what is shipped.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
UNPACKED = ROOT / ".venv/proxies"
START_SECONDS = 20.0
KINDS = ("nginx", "haproxy", "caddy")


def program(kind: str) -> str | None:
    """Its path; None where it is not installed and `make test` could not fetch it."""
    places = (UNPACKED / "usr/sbin", Path(sys.executable).parent, Path("/usr/sbin"))
    return shutil.which(kind, path=os.pathsep.join([*map(str, places), os.environ["PATH"]]))


def free_port() -> int:
    """Of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Proxy:
    """One process; ``certificate`` holds a certificate for localhost and its key, both PEM."""

    kind: str
    folder: Path
    nodes: Sequence[str]
    """host:port of each."""
    certificate: Path | None = None
    """None: without TLS, for measurements in which TLS is not what is measured."""
    silence_seconds: float = 90.0
    """Instead of the 90 s of the files: for tests on a faster clock."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"localhost:{self.port}"

    @property
    def said(self) -> str:
        """All its logs."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))

    def start(self) -> None:
        """Returns when it listens. Raises ``RuntimeError`` with what it said when it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = program(self.kind)
        if path is None:
            raise RuntimeError(f"{self.kind} is not here")
        with (self.folder / "output.log").open("wb") as log:
            self.process = subprocess.Popen(
                [path, *getattr(self, f"_{self.kind}")()],
                cwd=self.folder,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{self.kind} does not listen: {self.said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """At once; connections are cut."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    # --- each kind: writes its file, gives its arguments ---

    def _nginx(self) -> list[str]:
        changes = {
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "proxy_read_timeout 90s;": f"proxy_read_timeout {self._milliseconds};",
            "proxy_send_timeout 90s;": f"proxy_send_timeout {self._milliseconds};",
            "/var/log/nginx/access.log": str(self.folder / "access.log"),
            "/var/log/nginx/error.log": str(self.folder / "error.log"),
            **self._servers("        server {} max_fails=0;\n"),
        }
        if self.certificate is None:
            changes |= {
                "listen 443 ssl;": f"listen 127.0.0.1:{self.port};",
                "ssl_certificate /etc/ssl/storm/fullchain.pem;": "",
                "ssl_certificate_key /etc/ssl/storm/privkey.pem;": "",
            }
        else:
            changes |= {
                "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                "/etc/ssl/storm/fullchain.pem": str(self.certificate),
                "/etc/ssl/storm/privkey.pem": str(self.certificate),
            }
        path = self._write("nginx/nginx.conf", changes)
        places = "".join(
            f"{what}_temp_path {self.folder}/{what};"
            for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # Where it may write is a matter of how it was built, not of the configuration.
        text = path.read_text()
        path.write_text(text.replace("http {\n", "http {\n" + places + "\n", 1))
        rest = f"daemon off; pid {self.folder}/pid;"
        if os.getuid() == 0:
            rest += " user root;"
        return ["-p", str(self.folder), "-c", str(path), "-e", "error.log", "-g", rest]

    def _haproxy(self) -> list[str]:
        changes = {
            # Whether there is such a user is a matter of the machine.
            "    user haproxy\n    group haproxy\n": "",
            "bind :80\n": f"bind 127.0.0.1:{free_port()}\n",
            "bind :443 ssl crt /etc/haproxy/storm.pem": f"bind 127.0.0.1:{self.port}"
            + (f" ssl crt {self.certificate}" if self.certificate else ""),
            "timeout tunnel 90s": f"timeout tunnel {self._milliseconds}",
            **self._servers("    server storm-{n} {} check inter 2s fall 1 rise 1\n"),
        }
        return ["-db", "-f", str(self._write("haproxy/haproxy.cfg", changes))]

    def _caddy(self) -> list[str]:
        scheme, tls = "http", ""
        if self.certificate:
            scheme, tls = "https", f"\ttls {self.certificate} {self.certificate}\n"
        changes = {
            "chat.example.org {\n": f"{scheme}://:{self.port} {{\n\tbind 127.0.0.1\n{tls}",
            "10.0.0.11:8080 10.0.0.12:8080": " ".join(self.nodes),
            "\tadmin off\n": "\tadmin off\n\tauto_https disable_redirects\n",
        }
        path = self._write("caddy/Caddyfile", changes)
        return ["run", "--config", str(path), "--adapter", "caddyfile"]

    def _servers(self, line: str) -> dict[str, str]:
        """The two lines of the file become as many as there are nodes."""
        first, second = (line.format(f"10.0.0.1{n}:8080", n=n) for n in (1, 2))
        lines = (line.format(node, n=n) for n, node in enumerate(self.nodes, 1))
        return {first + second: "".join(lines)}

    @property
    def _milliseconds(self) -> str:
        return f"{self.silence_seconds * 1000:.0f}ms"

    def _environment(self) -> dict[str, str]:
        libraries = [*UNPACKED.glob("usr/lib/*-linux-*")]
        found = os.pathsep.join(map(str, libraries))
        places = {"XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        return places | ({"LD_LIBRARY_PATH": found} if found else {})

    def _write(self, source: str, changes: dict[str, str]) -> Path:
        text = (HERE / source).read_text("utf-8")
        for old, new in changes.items():
            if text.count(old) != 1:
                raise RuntimeError(f"deploy/proxies/{source} does not say once: {old!r}")
            text = text.replace(old, new)
        path = self.folder / Path(source).name
        path.write_text(text, "utf-8")
        return path
