"""Where things are."""

from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent

BUILD = HERE / "build"
LOGS = BUILD / "logs"
# Not the system's temporary folder: that may be memory, where a synced commit costs nothing.
WORK = BUILD / "work"

CLIENT_SOURCES = HERE / "client"
LIMIT_SOURCES = HERE / "limit"
PEERS = HERE / "peers"
GORILLA = PEERS / "gorilla"
VENV = HERE / ".venv"
LOCK = HERE / "requirements.lock"

LATEST = HERE / "results" / "latest.json"
PAGE = REPOSITORY / "docs" / "benchmarks.md"
PEERS_LATEST = HERE / "results" / "peers.json"
PEERS_PAGE = REPOSITORY / "docs" / "benchmarks-peers.md"
