"""The secret that signs access tokens: configured, or made once and kept in the data folder."""

import os
import secrets
from pathlib import Path

import structlog

from storm_gateway.config import Config

SECRET_FILE = "secret"  # noqa: S105 the name of the file
SECRET_BYTES = 32
log = structlog.get_logger(__name__)


def load_secret(config: Config) -> str:
    """``STORM_JWT_SECRET``, else the one kept in ``data_dir/secret``, made at the first call.

    Several processes may call it at once on an empty folder: all get the same secret. Raises
    ``ValueError``, with what to do, when the kept file holds no usable secret or several nodes
    would need a common one, and ``OSError`` when it cannot be read or made.
    """
    configured = config.jwt_secret.get_secret_value()
    if configured:
        return configured
    if config.is_cluster:
        # One that is made here would be known here only.
        raise ValueError(
            "STORM_JWT_SECRET is empty: several nodes need the same one (make it with: "
            "openssl rand -hex 32)"
        )
    path = config.data_dir / SECRET_FILE
    if not path.exists():
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written whole under another name, then linked: whoever finds the final name finds a whole
    # secret, and of several makers exactly one wins (link fails where the name is taken).
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    log.info("secret made", path=str(path))


def _read(path: Path) -> str:
    secret = path.read_text(encoding="utf-8").strip()
    if len(secret.encode()) < SECRET_BYTES:
        raise ValueError(
            f"{path} holds fewer than {SECRET_BYTES} bytes. Delete it to have a new one made "
            "(all tokens become void), or set STORM_JWT_SECRET."
        )
    if path.stat().st_mode & 0o007:
        # Not refused: volume drivers change modes. But the operator should know.
        log.warning("secret is readable by everyone", path=str(path), remedy=f"chmod 600 {path}")
    return secret
