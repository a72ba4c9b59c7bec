"""Every setting of STORM: name, unit, default and meaning in one place.

Each field is read from the environment variable ``STORM_<FIELD>``. ``storm config show`` prints
them and ``storm config check`` refuses what cannot work.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

_OWN_SUBJECTS = ("channels.", "nodes", "canary.")
"""What begins like this on the bus is the gateway's own."""
MIB = 1024 * 1024
KIB = 1024


def host_and_port(addr: str) -> tuple[str, int]:
    """The parts of a setting like ``addr``; without a host, all addresses."""
    host, _, port = addr.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 asked for by ':port'


def _secrets_fault(folder: str) -> str:
    """Why the files of ``secrets_dir`` cannot be read; empty when they can."""
    try:
        for path in Path(folder).iterdir():
            if path.name.lower().startswith("storm_") and path.is_file():
                path.read_text(encoding="utf-8")
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror}): name another folder"
    except UnicodeDecodeError:
        return f"{path} is no UTF-8 text"
    return ""


class Config(BaseSettings):
    """The settings of one node. Frozen: nothing changes them after the start."""

    model_config = SettingsConfigDict(
        env_prefix="STORM_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    # Where it listens and keeps its data
    addr: str = Field(
        "127.0.0.1:8080",
        description="host:port to listen on; ':8080' is all addresses, port 0 any free one",
    )
    data_dir: Path = Field(
        Path(".storm"), description="folder of the embedded database and the made secret"
    )
    web_dir: str = Field(
        "", description="folder of the built web client; empty: the one that comes with STORM"
    )
    node_addr: str = Field(
        "",
        description=(
            "a second host:port that only this node listens on, when several share addr: for "
            "its metrics, and for clients that want this very node; with --workers each node "
            "takes the next port; empty: none"
        ),
    )
    database_url: str = Field(
        "",
        description=(
            "SQL store: sqlite:///path or postgresql://user:password@host/database; "
            "empty: SQLite in data_dir"
        ),
    )
    database_connections: int = Field(
        4,
        ge=1,
        description="connections of a node to a server database for reading; one more writes",
    )
    nats_url: str = Field(
        "",
        description=(
            "bus between nodes: nats://user:password@host:4222, several comma-separated; "
            "empty: this node is alone"
        ),
    )
    redis_url: str = Field(
        "",
        description=(
            "presence and limits across nodes, on Valkey or Redis: "
            "redis://:password@host:6379/0; empty: this node is alone"
        ),
    )
    node_name: str = Field(
        "", description="name of this node in logs, metrics and presence; empty: made at start"
    )

    secrets_dir: str = Field(
        "",
        description=(
            "folder with one file for each setting that shall not stand in the environment, "
            "such as storm_jwt_secret; the environment wins; empty: none"
        ),
    )

    # Who may come in
    jwt_secret: SecretStr = Field(
        SecretStr(""),
        description="HS256 secret, at least 32 bytes; empty: made once and kept in data_dir",
    )
    jwt_algorithm: Literal["HS256", "RS256", "EdDSA"] = Field(
        "HS256", description="the one algorithm of foreign access tokens"
    )
    jwt_jwks_url: str = Field("", description="JWKS of the identity provider, for RS256 and EdDSA")
    jwt_issuer: str = Field("", description="required 'iss' of foreign tokens; empty: not checked")
    jwt_audience: str = Field(
        "", description="required 'aud' of foreign tokens; empty: not checked"
    )
    access_token_seconds: int = Field(900, ge=10, description="life of an access token, seconds")
    refresh_token_seconds: int = Field(
        86_400, ge=60, description="life of a refresh token, seconds; rotated at each use"
    )
    ticket_seconds: int = Field(60, ge=5, description="life of a WebSocket ticket, seconds")
    cookie_secure: bool = Field(False, description="mark cookies Secure (set it behind HTTPS)")
    cors_origins: str = Field(
        "http://localhost:5173", description="allowed Origins, comma-separated, exact"
    )
    trusted_proxies: str = Field(
        "", description="addresses or networks, comma-separated, whose X-Forwarded-For is believed"
    )
    admins: str = Field(
        "",
        description=(
            "user ids, comma-separated, that are server administrators besides those made "
            "with 'storm user admin'"
        ),
    )
    registration_enabled: bool = Field(True, description="whether POST /auth/register makes users")

    # Limits on /auth
    auth_rate_limit_enabled: bool = Field(
        True, description="whether /auth/* is limited per address"
    )
    auth_requests_per_minute: float = Field(
        5, gt=0, description="requests a minute and address on /auth/*"
    )
    auth_burst: int = Field(3, ge=1, description="requests at once and address on /auth/*")
    password_hash_queue: int = Field(
        50, ge=1, description="password hashes that may wait before 503"
    )

    # Limits on connections
    max_connections: int = Field(
        0, ge=0, description="connections of this node; 0: 90 % of the file limit"
    )
    max_connections_per_user: int = Field(
        20, ge=0, description="connections of one user; 0: no limit"
    )
    max_connections_per_address: int = Field(
        0, ge=0, description="connections from one address; 0: no limit"
    )
    handshakes_per_second: float = Field(
        0, ge=0, description="upgrades this node accepts a second; 0: no limit"
    )
    scheduling: Literal["batch", "normal"] = Field(
        "batch",
        description="how Linux schedules the node: `batch` gives up a little of its turn's "
        "promptness on a full machine and does more in each turn; `normal` is as other programs",
    )
    allocator: Literal["auto", "python"] = Field(
        "auto",
        description="where nodes that `storm up` or `--workers` starts have their memory from: "
        "`auto` is jemalloc where the machine has it, which gives more back when a crowd has left; "
        "`python` is Python's own",
    )
    header_seconds: float = Field(20, gt=0, description="time to send all request headers, seconds")
    header_bytes: int = Field(16 * KIB, ge=KIB, description="size of all request headers, bytes")
    body_bytes: int = Field(MIB, ge=KIB, description="size of a request body, bytes")
    body_seconds: float = Field(30, gt=0, description="time to send a request body, seconds")

    # Limits on commands and messages
    payload_characters: int = Field(4_000, ge=1, le=100_000, description="characters of a message")
    frame_bytes: int = Field(
        64 * KIB, ge=KIB, description="bytes of one WebSocket message, all fragments together"
    )
    commands_per_second: float = Field(20, gt=0, description="commands a second and connection")
    commands_burst: int = Field(60, ge=1, description="commands at once and connection")
    channels_per_connection: int = Field(200, ge=1, description="subscriptions of one connection")
    replay_events: int = Field(
        1_000, ge=1, description="events replayed by one subscribe; older ones are a gap"
    )
    named_members: int = Field(
        200,
        ge=0,
        description=(
            "members up to which joins and leaves of public channels and reads are announced, "
            "and online users up to which presence names them"
        ),
    )

    # Slow readers
    outbox_ephemeral_bytes: int = Field(
        256 * KIB,
        ge=4 * KIB,
        description="bytes waiting for a client above which ephemeral events are dropped",
    )
    outbox_close_bytes: int = Field(
        MIB,
        ge=16 * KIB,
        description="bytes waiting for a client above which it is closed with 4001",
    )

    # Times
    ping_seconds: int = Field(30, ge=1, description="protocol ping to each connection, seconds")
    dead_seconds: int = Field(
        90, ge=2, description="silence after which a connection is closed with 4000, seconds"
    )
    heartbeat_seconds: int = Field(
        30, ge=1, description="heartbeat event to each connection, seconds"
    )
    close_seconds: int = Field(
        5, ge=1, description="time a client has to answer a close frame, seconds"
    )
    drain_seconds: float = Field(
        30, ge=0, description="time over which a drain spreads the reconnections, seconds"
    )
    rebalance_seconds: float = Field(
        1_200,
        ge=0,
        description=(
            "time over which a node with more connections than its share would ask all of them to "
            "move, seconds; it stops when the nodes are even; 0: it asks nobody"
        ),
    )
    rebalance_margin_percent: float = Field(
        10,
        gt=0,
        le=100,
        description=(
            "how far a node's connections may be from the mean of all nodes before some are moved, "
            "percent"
        ),
    )
    rebalance_settle_seconds: float = Field(
        60,
        ge=0,
        description=(
            "time for which the same nodes have to be there, all ready, before connections are "
            "moved, seconds"
        ),
    )
    presence_lease_seconds: int = Field(
        45, ge=2, description="life of a presence entry that is not refreshed, seconds"
    )
    presence_refresh_seconds: int = Field(
        15, ge=1, description="how often presence is refreshed, seconds"
    )
    presence_grace_seconds: float = Field(
        10, ge=0, description="time a user stays online after the last connection left, seconds"
    )
    presence_interval_seconds: float = Field(
        1, gt=0, description="how often presence of a channel is told at most, seconds"
    )
    typing_seconds: int = Field(
        3, ge=1, description="how often one user's typing is told to a channel at most, seconds"
    )
    typing_expires_seconds: int = Field(
        6, ge=1, description="how long a client shows typing, seconds"
    )
    token_expiring_seconds: int = Field(
        60, ge=1, description="how long before its end a token is announced to expire, seconds"
    )
    reorder_milliseconds: float = Field(
        50,
        ge=0,
        description=(
            "time a node waits for an event that later ones have overtaken before it reads the "
            "store, milliseconds"
        ),
    )
    repair_seconds: float = Field(
        2,
        gt=0,
        description="how often the heads of active channels are compared with the store, seconds",
    )

    # Store and delivery
    commit_milliseconds: float = Field(
        0,
        ge=0,
        description=(
            "time a group commit waits for more writes, milliseconds; 0: commits as soon as "
            "the last one ended"
        ),
    )
    commit_batch: int = Field(512, ge=1, description="writes in one commit")
    commit_queue: int = Field(
        20_000,
        ge=1,
        description="writes that may wait for commit before commands get 'unavailable'",
    )
    store_timeout_seconds: float = Field(3, gt=0, description="time a statement may take, seconds")
    recent_events: int = Field(
        256,
        ge=0,
        description="events kept in memory for resume, of a channel that four or more "
        "listen to on the node",
    )
    fanout_writes: int = Field(
        512, ge=1, description="writes to clients before the event loop gets a turn"
    )
    coalesce_milliseconds: float = Field(
        10, ge=0, description="longest wait for more frames under load, milliseconds"
    )

    # Event streams
    stream_prefix: str = Field(
        "storm.",
        min_length=1,
        description="prefix of the subjects that /publish and /ws?subject= accept",
    )

    # Watching
    log_format: Literal["auto", "human", "json"] = Field(
        "auto", description="auto: human on a terminal, JSON otherwise"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    ready_loop_lag_milliseconds: float = Field(
        1_000, gt=0, description="event-loop lag above which /readyz is 503, milliseconds"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given wins, then the environment, then the files of ``secrets_dir``."""
        folder = env_settings().get("secrets_dir")
        if not folder or _secrets_fault(folder):  # the field says what is wrong
            return init_settings, env_settings
        files = SecretsSettingsSource(settings_cls, secrets_dir=folder)
        return init_settings, env_settings, files

    @field_validator("secrets_dir")
    @classmethod
    def _secrets_can_be_read(cls, value: str) -> str:
        if fault := _secrets_fault(value) if value else "":
            raise ValueError(fault)
        return value

    @field_validator("addr", "node_addr")
    @classmethod
    def _addr_has_a_port(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "node_addr":
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65_535:
            raise ValueError("say host:port, for example 127.0.0.1:8080 or :8080")
        if host.count(":") and not (host.startswith("[") and host.endswith("]")):
            raise ValueError("put an IPv6 address in brackets, for example [::1]:8080")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _secret_is_long(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value().encode()) < 32:
            raise ValueError("needs at least 32 bytes (for example from: openssl rand -hex 32)")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, value: str) -> str:
        for origin in filter(None, (part.strip() for part in value.split(","))):
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
                raise ValueError(
                    f"{origin!r} is no origin: say scheme://host[:port] without a path"
                )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: str) -> str:
        for part in filter(None, (part.strip() for part in value.split(","))):
            try:
                ip_network(part, strict=False)
            except ValueError:
                raise ValueError(f"{part!r} is no address and no network") from None
        return value

    @field_validator("stream_prefix")
    @classmethod
    def _streams_are_no_channels(cls, value: str) -> str:
        if any(own.startswith(value) or value.startswith(own) for own in _OWN_SUBJECTS):
            raise ValueError(f"{value!r} would let streams into the subjects of channels or nodes")
        return value

    @model_validator(mode="after")
    def _numbers_fit_together(self) -> Self:
        if self.dead_seconds <= self.ping_seconds:
            raise ValueError("STORM_DEAD_SECONDS must be above STORM_PING_SECONDS")
        if self.outbox_close_bytes < self.outbox_ephemeral_bytes:
            raise ValueError(
                "STORM_OUTBOX_CLOSE_BYTES must not be below STORM_OUTBOX_EPHEMERAL_BYTES"
            )
        if self.presence_lease_seconds <= self.presence_refresh_seconds:
            raise ValueError(
                "STORM_PRESENCE_LEASE_SECONDS must be above STORM_PRESENCE_REFRESH_SECONDS"
            )
        if self.jwt_algorithm != "HS256" and not self.jwt_jwks_url:
            raise ValueError(f"STORM_JWT_ALGORITHM={self.jwt_algorithm} needs STORM_JWT_JWKS_URL")
        return self

    @property
    def cluster_faults(self) -> list[str]:
        """What several nodes would still need, as sentences; empty when nothing is missing."""
        faults = []
        if not self.nats_url:
            faults.append("STORM_NATS_URL is empty: say nats://host:4222, the bus between nodes")
        if not self.redis_url:
            faults.append("STORM_REDIS_URL is empty: say redis://host:6379/0, for presence")
        if not self.database_url.startswith(("postgresql:", "postgresql+", "postgres:")):
            faults.append(
                "STORM_DATABASE_URL is not a server database: say "
                "postgresql://user:password@host/database"
            )
        if not self.jwt_secret.get_secret_value():
            faults.append(
                "STORM_JWT_SECRET is empty: all nodes need the same one "
                "(make it with: openssl rand -hex 32)"
            )
        return faults

    @property
    def is_cluster(self) -> bool:
        """Whether this node may have others beside it: it has a bus or shared presence."""
        return bool(self.nats_url or self.redis_url)

    @property
    def host(self) -> str:
        """The host part of ``addr``; all addresses when it is empty."""
        return host_and_port(self.addr)[0]

    @property
    def port(self) -> int:
        """The port part of ``addr``."""
        return host_and_port(self.addr)[1]

    @property
    def origins(self) -> frozenset[str]:
        """The allowed Origins, lower case, compared whole."""
        return frozenset(
            part.strip().lower() for part in self.cors_origins.split(",") if part.strip()
        )

    @property
    def admin_ids(self) -> frozenset[str]:
        """Server administrators named by the configuration."""
        return frozenset(part.strip() for part in self.admins.split(",") if part.strip())
