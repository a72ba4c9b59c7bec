"""The real Prometheus, promtool and exporters, and what is asked of them.

``make test`` unpacks them into .venv/prometheus (scripts/prometheus.sh); they may be installed.
"""
# ruff: noqa: S603 what is started here are the programs of the system

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import pytest

from storm_gateway.stack.ports import free_port

ROOT = Path(__file__).resolve().parents[4]
MONITORING = ROOT / "deploy/monitoring"
UNPACKED = ROOT / ".venv/prometheus/usr/bin"
START_SECONDS = 20.0


def program(name: str) -> str:
    """Its path; without it the test is skipped."""
    found = shutil.which(name, path=f"{UNPACKED}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not here; `make test` fetches it on Debian and Ubuntu")
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it, and say what it said."""
    return subprocess.run(
        [program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )


class Process:
    """A program that listens on a port of 127.0.0.1 and is ended with the block."""

    def __init__(
        self, command: Sequence[str], port: int, ready: str, environment: Mapping[str, str] = {}
    ) -> None:
        """``ready``: the path that answers 200 once it is up."""
        self.address = f"127.0.0.1:{port}"
        self._command = command
        self._ready = f"http://{self.address}{ready}"
        self._environment = {**os.environ, **environment}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed with the block
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
            process_group=0,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if httpx2.get(self._ready, timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self._command[0]} does not answer:\n{self.said()}")

    def said(self) -> str:
        """The end of what it wrote."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4_000:]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


class Prometheus(Process):
    """The shipped configuration with other targets, and quicker."""

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[str]]) -> None:
        """``targets``: job → addresses."""
        port = free_port()
        shipped = MONITORING / "prometheus"
        shutil.copytree(shipped / "rules", folder / "rules")
        (folder / "targets").mkdir()
        for job, addresses in targets.items():
            listed = ", ".join(f'"{address}"' for address in addresses)
            (folder / f"targets/{job}.yml").write_text(f"- targets: [{listed}]\n")
        text = (shipped / "prometheus.yml").read_text()
        # Only how often it looks, and where it itself is: all the rest is what is shipped.
        for old, new in ((": 15s", ": 1s"), ("localhost:9090", f"127.0.0.1:{port}")):
            assert old in text
            text = text.replace(old, new)
        (folder / "prometheus.yml").write_text(text)
        super().__init__(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            port,
            "/-/ready",
        )

    def ask(self, path: str, **parameters: str) -> Any:
        """``data`` of an answer of the API; fails unless it is a success."""
        answer = httpx2.get(
            f"http://{self.address}/api/v1/{path}", params=parameters, timeout=10, trust_env=False
        )
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """The samples of now."""
        found = self.ask("query", query=expr)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def until(self, expr: str, seconds: float = START_SECONDS) -> None:
        """Wait until a query has an answer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.query(expr):
                return
            time.sleep(0.2)
        raise AssertionError(f"no answer in {seconds:.0f} s: {expr}\n{self.said()}")
