"""Disks that are full: a small one in memory, and files that may not grow."""

import contextlib
import os
import resource
import shutil
import subprocess
from pathlib import Path

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.postgres import PostgresServer

_PIECE = bytes(64 * 1024)
_BALLAST = "ballast"


def missing() -> str:
    """What this machine lacks for a :class:`SmallDisk`, in words; empty: nothing."""
    if os.geteuid() != 0:
        return "needs root, to mount a small disk"
    if shutil.which("mount") is None or shutil.which("umount") is None:
        return "needs the programs mount and umount"
    return ""


class SmallDisk:
    """A disk of a few megabytes at a folder."""

    def __init__(self, folder: Path, *, mebibytes: int) -> None:
        self.folder = folder
        self._mebibytes = mebibytes

    def mount(self) -> None:
        """Put it there. Raises :class:`StackError` when the machine does not allow it."""
        if self.folder.is_mount():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = f"size={self._mebibytes}m,mode=0700"
        _run("mount", "-t", "tmpfs", "-o", options, "storm-small-disk", str(self.folder))

    def unmount(self) -> None:
        """Take it away with everything on it. May be called again."""
        with contextlib.suppress(StackError):
            if self.folder.is_mount():
                # Lazily: a process that still has a file open does not keep it.
                _run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / _BALLAST).open("ab", buffering=0) as file:
            for piece in (_PIECE, _PIECE[:4096], b"\0"):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(piece)

    def empty(self) -> None:
        """Give back what :meth:`fill` took."""
        (self.folder / _BALLAST).unlink(missing_ok=True)


class SmallDiskPostgres(PostgresServer):
    """A PostgreSQL whose tables lie on a small disk. Its log (WAL) is elsewhere: without space for
    that, PostgreSQL itself would stop, and what is to be seen is how nodes take its refusals.
    """

    @property
    def disk(self) -> SmallDisk:
        """Where its tables are."""
        return SmallDisk(self.folder / "disk", mebibytes=96)

    def prepare(self) -> None:
        super().prepare()
        tables = self.data / "base"
        if not tables.is_symlink():
            self.disk.mount()
            shutil.move(tables, self.disk.folder / "base")
            tables.symlink_to((self.disk.folder / "base").resolve(), target_is_directory=True)


def limit_files(pid: int, size: int | None) -> None:
    """No file of a process may grow beyond so many bytes; None: no limit any more. Files that are
    longer stay as they are. Needs no root.
    """
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    soft = hard if size is None else size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 ours
    if ran.returncode:
        raise StackError(f"{' '.join(command)}: {ran.stderr.strip()}")
