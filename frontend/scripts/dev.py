"""`make dev`: a gateway, and Vite with hot reload in front of it. When one ends, so does the other.

STORM_ADDR says where the gateway listens; Vite's page is on http://localhost:5173.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 10
PAGE = "localhost:5173"


def start(command: list[str], folder: Path, **environment: str) -> "subprocess.Popen[bytes]":
    # A group of its own: Ctrl-C comes here first, and each is ended once.
    return subprocess.Popen(  # noqa: S603 both stand in this repository
        command, cwd=folder, env={**os.environ, **environment}, start_new_session=True
    )


def end(process: "subprocess.Popen[bytes]") -> None:
    """The process and whatever it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue


def main() -> int:
    address = os.environ["STORM_ADDR"]
    host, _, port = address.rpartition(":")
    ours = {
        "STORM_CORS_ORIGINS": f"http://{PAGE},http://127.0.0.1:5173",
        "STORM_DRAIN_SECONDS": "0",
    }
    ours = {name: os.environ.get(name, value) for name, value in ours.items()}
    sys.stdout.write(f"STORM    http://{PAGE}    gateway {address}    Ctrl-C ends both\n")
    sys.stdout.flush()
    processes = [
        start([str(ROOT / ".venv/bin/storm"), "serve"], ROOT, **ours),
        start(
            ["node", "node_modules/vite/bin/vite.js", "--strictPort"],
            ROOT / "frontend",
            STORM_URL=f"http://{host or '127.0.0.1'}:{port}",
        ),
    ]
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.2)
    finally:
        for process in processes:
            end(process)
    return next(process.returncode for process in processes) or 1


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    sys.exit(main())
