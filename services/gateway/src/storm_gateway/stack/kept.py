"""Secrets that are kept in a folder, and the mark that somebody uses the folder."""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from storm_gateway.stack.errors import StackError

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


class FolderLock:
    """One owner of a folder at a time. The system releases it when its process ends, however."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises :class:`StackError`, which names the owner. Taken already: nothing happens."""
        if self._descriptor is not None:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise StackError(
                f"{self.folder} is in use by process {owner or '(unknown)'}: end that one first, "
                "or take another folder"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._descriptor = lock

    def release(self) -> None:
        """Let others have it. Safe from several threads: a start that is ended also ends itself."""
        lock, self._descriptor = self._descriptor, None
        if lock is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(lock, 0)
            os.close(lock)
