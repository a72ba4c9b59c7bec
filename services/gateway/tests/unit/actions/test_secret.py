import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from storm_gateway.actions.secret import load_secret
from storm_gateway.config import Config


def config(folder: Path, secret: str = "") -> Config:
    return Config(data_dir=folder, jwt_secret=SecretStr(secret))


def test_a_configured_secret_wins_and_nothing_is_written(tmp_path: Path) -> None:
    assert load_secret(config(tmp_path, "x" * 40)) == "x" * 40
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = load_secret(config(folder))
    assert len(first) == 64
    assert load_secret(config(folder)) == first
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["secret"]


@pytest.mark.parametrize("name", ["nats_url", "redis_url"])
def test_no_secret_is_made_for_one_of_several_nodes(tmp_path: Path, name: str) -> None:
    beside_others = Config(data_dir=tmp_path, **{name: "somewhere://127.0.0.1"})
    with pytest.raises(ValueError, match="STORM_JWT_SECRET is empty: several nodes need the same"):
        load_secret(beside_others)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from storm_gateway.actions.secret import load_secret, log\n"
        "from storm_gateway.config import Config\n"
        "sys.stdin.readline()\n"
        "import structlog; structlog.configure(logger_factory=structlog.ReturnLoggerFactory())\n"
        "print(load_secret(Config(data_dir=Path(sys.argv[1]))))\n"
    )
    processes = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", program, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    found = {process.communicate("go\n", timeout=60)[0] for process in processes}
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


def test_a_secret_file_that_holds_too_little_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short\n")
    with pytest.raises(ValueError, match="Delete it"):
        load_secret(config(tmp_path))


def test_losing_the_race_to_make_the_secret_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("w" * 64)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert load_secret(config(tmp_path)) == "w" * 64
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_secret_that_everyone_may_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text("w" * 64)
    (tmp_path / "secret").chmod(0o644)
    load_secret(config(tmp_path))
    shown = capsys.readouterr().out
    assert "readable by everyone" in shown
    assert "w" * 64 not in shown
