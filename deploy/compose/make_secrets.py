#!/usr/bin/env python3
"""Make the secrets of compose.yaml: ``make_secrets.py FOLDER``.

In the folder, each service has a folder of its own, which is a volume that only this service gets.
What is there already stays: passwords are made once, and what is derived from them (the addresses
with passwords, for the nodes) is written anew at each start.

The files may be read by everybody who has the volume, since each image runs as another user. On the
host only root gets to volumes.
"""

import os
import secrets
import sys
from pathlib import Path

SERVICES = ("storm", "postgres", "nats", "valkey", "grafana")


def write(path: Path, text: str) -> None:
    """Whole or not at all: a start may be interrupted."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o444)
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)


def kept(path: Path) -> str:
    """The secret in this file, made now when there is none. Letters and digits, 256 bits."""
    if not path.exists():
        write(path, secrets.token_hex(32))
        print(f"made {path}")  # noqa: T201
    return path.read_text(encoding="ascii").strip()


def main(arguments: list[str]) -> int:
    """``arguments``: the folder that holds one folder for each service."""
    if len(arguments) != 1:
        print("usage: make_secrets.py FOLDER", file=sys.stderr)  # noqa: T201
        return 2
    folder = Path(arguments[0])
    missing = [name for name in SERVICES if not (folder / name).is_dir()]
    if missing:
        print(  # noqa: T201
            f"{folder} needs a folder (a volume) for each service; missing: {', '.join(missing)}",
            file=sys.stderr,
        )
        return 1
    kept(folder / "storm/storm_jwt_secret")
    kept(folder / "grafana/password")
    postgres = kept(folder / "postgres/password")
    nats = kept(folder / "nats/password")
    valkey = kept(folder / "valkey/password")
    write(folder / "nats/authorization.conf", f'user: "storm"\npassword: "{nats}"')
    write(folder / "valkey/authorization.conf", f"requirepass {valkey}")
    write(folder / "storm/storm_database_url", f"postgresql://storm:{postgres}@postgres:5432/storm")
    write(folder / "storm/storm_nats_url", f"nats://storm:{nats}@nats:4222")
    write(folder / "storm/storm_redis_url", f"redis://:{valkey}@valkey:6379/0")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
