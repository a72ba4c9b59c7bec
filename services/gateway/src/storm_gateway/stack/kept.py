"""Secrets and marks that are kept in files of a folder."""

import os
import secrets
from pathlib import Path

_SECRET_BYTES = 32


def kept_secret(path: Path) -> str:
    """The secret in a file that only its owner may read; made at the first call."""
    try:
        kept = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        kept = ""
    if kept:
        path.chmod(0o600)
        return kept
    made = secrets.token_hex(_SECRET_BYTES)
    write_private(path, made + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
