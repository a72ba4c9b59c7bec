"""Full disks, with real files."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storm_gateway.stack.disk import SmallDisk, SmallDiskPostgres, limit_files, missing

LACK = missing()
needs_root = pytest.mark.skipif(bool(LACK), reason=LACK)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", mebibytes=4)
    disk.mount()
    yield disk
    disk.unmount()
    disk.unmount()
    assert not disk.folder.is_mount()


@needs_root
def test_a_full_disk_takes_nothing_and_everything_once_it_is_emptied(disk: SmallDisk) -> None:
    file = disk.folder / "file"
    file.write_bytes(b"before")
    disk.fill()
    with pytest.raises(OSError, match="space") as full:
        (disk.folder / "another").write_bytes(bytes(8_192))
    assert full.value.errno == errno.ENOSPC
    assert file.read_bytes() == b"before"
    disk.empty()
    (disk.folder / "another").write_bytes(bytes(1024 * 1024))


@needs_root
def test_postgres_lives_on_a_small_disk_and_through_its_being_full(tmp_path: Path) -> None:
    postgres = SmallDiskPostgres(tmp_path / "postgres")
    try:
        postgres.start()
        assert postgres.disk.folder.is_mount()
        postgres.disk.fill()
        assert postgres.answers()
        postgres.disk.empty()
        postgres.restart()
        assert postgres.answers()
    finally:
        postgres.stop()
        postgres.disk.unmount()


def test_files_of_a_process_do_not_grow_beyond_the_limit(tmp_path: Path) -> None:
    writes = (
        "import sys\n"
        "for _ in sys.stdin:\n"
        "    try:\n"
        "        with open(sys.argv[1], 'ab', buffering=0) as file:\n"
        "            print(file.write(bytes(1000)), flush=True)\n"
        "    except OSError as error:\n"
        "        print(error.strerror, flush=True)\n"
    )
    with subprocess.Popen(  # noqa: S603 our own program
        [sys.executable, "-c", writes, str(tmp_path / "file")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def write() -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("now\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert write() == "1000"
        limit_files(process.pid, 1_000)
        assert write() == "File too large"
        limit_files(process.pid, None)
        assert write() == "1000"
