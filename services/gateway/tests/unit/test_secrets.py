"""Settings in files: ``STORM_SECRETS_DIR``, for what shall not stand in the environment."""

import os
import warnings
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from storm_gateway.cli.main import app
from storm_gateway.config import Config

SECRET = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "storm_jwt_secret").write_text(f"{SECRET}\n")
    (tmp_path / "storm_nats_url").write_text("nats://storm:word@nats:4222\n")
    (tmp_path / "README").write_bytes(b"\xff no setting")
    monkeypatch.setenv("STORM_SECRETS_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_setting_may_stand_in_a_file_of_its_name() -> None:
    config = Config()
    assert config.jwt_secret.get_secret_value() == SECRET
    assert config.nats_url == "nats://storm:word@nats:4222"
    assert config.redis_url == ""


@pytest.mark.usefixtures("folder")
def test_the_environment_wins_over_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_JWT_SECRET", OTHER)
    assert Config().jwt_secret.get_secret_value() == OTHER


def test_a_file_is_checked_like_a_variable(folder: Path) -> None:
    (folder / "storm_jwt_secret").write_text("short")
    with pytest.raises(ValidationError, match="32 bytes") as refused:
        Config()
    assert "short" not in str(refused.value)


def test_a_folder_that_is_not_there_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORM_SECRETS_DIR", "/nowhere/at/all")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ran = CliRunner().invoke(app, ["config", "check"])
    assert ran.exit_code == 1
    assert "STORM_SECRETS_DIR: /nowhere/at/all cannot be read (No such file" in ran.output


def test_files_that_may_not_be_read_are_refused(folder: Path) -> None:
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:  # it may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(ValidationError, match=rf"{folder} cannot be read \(Permission"):
            Config()
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_a_file_that_is_no_text_is_refused_with_its_name(folder: Path) -> None:
    (folder / "storm_jwt_secret").write_bytes(b"\xff\xfe")
    with pytest.raises(ValidationError, match=r"storm_jwt_secret is no UTF-8 text"):
        Config()


@pytest.mark.usefixtures("folder")
def test_config_show_says_that_a_value_comes_from_a_file_and_hides_it() -> None:
    ran = CliRunner().invoke(app, ["config", "show"])
    assert ran.exit_code == 0, ran.output
    assert "(file in STORM_SECRETS_DIR, default" in ran.output
    assert SECRET not in ran.output
    assert "storm:word" not in ran.output
