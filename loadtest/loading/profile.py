"""Profiles: how many users, how they behave, and which service levels they shall meet."""

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin

from common.paths import REPOSITORY

FOLDER = REPOSITORY / "loadtest" / "k6" / "profiles"
BEHAVIOURS = ("steady_chat", "hot_room", "reconnect_storm", "slow_readers", "storm_day")
FAULTS = ("nats_paused", "nats_slow", "database_slow", "node_killed", "rolling_restart")


_LEAST_AUDIT = 0.1


class ProfileError(Exception):
    """What is wrong with a profile, where, and what would be right."""


@dataclass(frozen=True)
class Spike:
    """More messages for a while."""

    at: float
    """Seconds of the hold."""
    seconds: float
    factor: float


@dataclass(frozen=True)
class Storms:
    """Many leave at once and come back."""

    times: int = 2
    share: float = 0.5
    within_seconds: float = 5.0
    """They come back spread over so long."""


@dataclass(frozen=True)
class Slow:
    """A share of the users does not read for a while."""

    share: float = 0.1
    times: int = 1
    seconds: float = 10.0


@dataclass(frozen=True)
class Fault:
    """Something that the driver breaks and mends."""

    what: str
    at: float
    """Seconds of the hold."""
    seconds: float = 0.0
    """How long; 0: it is over at once."""
    recover_seconds: float = 10.0
    """After its end, times do not count as service level for so long."""

    def check(self) -> None:
        if self.what not in FAULTS:
            raise ProfileError(f"no fault {self.what!r}; there are {', '.join(FAULTS)}")


@dataclass(frozen=True)
class Thresholds:
    """The service levels. A time must be below its limit, a count at most as high."""

    connect_p95_ms: float = 200.0
    ack_p95_ms: float = 200.0
    delivery_p95_ms: float = 200.0
    errors: float = 0.001
    """Share of commands and connections."""
    lost: int = 0
    doubled: int = 0
    dropped: int | None = None
    """Connections that ended without anybody's wish; null: they count as errors only."""
    opened_seconds: float | None = None
    """From the first connect until everybody is in."""


@dataclass(frozen=True)
class Profile:
    """What a run is."""

    connections: int
    nodes: int = 2
    about: str = ""
    behaviour: str = "steady_chat"
    ramp_seconds: float = 10.0
    ramp_falls: float = 0.0
    """By which share fewer users come in the last second of the ramp than in the first; the time
    between two of them grows evenly, as each costs more, the more there are. 0: as many in each
    second."""
    calm_seconds: float = 2.0
    """Between the last connect and the first message."""
    hold_seconds: float = 30.0
    settle_seconds: float = 20.0
    """What was sent may be late by so much at the end, and is not lost."""
    messages_per_second: float = 20.0
    mix: dict[str, float] = field(default_factory=lambda: {"room": 0.1, "small": 0.9})
    """Shares of the messages: hall, room, small."""
    hall_every_seconds: float = 0.0
    """One message to everybody so often, counted apart; 0: none."""
    payload_bytes: int = 64
    room_size: int = 1000
    small_size: int = 10
    members: bool = False
    """Everybody is a member of their channels before the run, as the people of a deployment are;
    otherwise all users are new, and join their small room. Only for a stack of our own."""
    hot_share: float = 0.8
    """Of the messages of hot_room, those in the one room."""
    patience_seconds: float = 20.0
    """How long a user waits for its subscriptions before it gives up and connects anew. On a
    machine that is full, impatience makes work that nobody waits for."""
    sockets_per_vu: int = 500
    processes: int = 0
    """Of k6; 0: as few as the file limit allows."""
    memory_ahead: bool = False
    """Each k6 takes all the memory that it may before the first user comes, 85 % of what is free in
    all. On a virtual machine new pages are dear, and k6 needs 190 KB for a user."""
    delivery_sample: int = 10
    """One of so many deliveries is a sample of k6's own metric; all are in the buckets."""
    spikes: list[Spike] = field(default_factory=list)
    storms: Storms = field(default_factory=Storms)
    slow: Slow = field(default_factory=Slow)
    faults: list[Fault] = field(default_factory=list)
    audit_messages_per_second: float = 0.0
    """Of ``storm audit``, which then rides along until the end of the hold; 0: it does not. Only
    with a stack of our own."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    settings: dict[str, str | int | float] = field(default_factory=dict)
    """STORM_… of the nodes, beside those that every run sets."""

    @property
    def rooms(self) -> int:
        """How many rooms there are."""
        return max(1, round(self.connections / self.room_size))

    @property
    def smalls(self) -> int:
        """How many small rooms there are."""
        return -(-self.connections // self.small_size)

    @property
    def lasts(self) -> float:
        """Seconds from the first connect to the last message."""
        return self.ramp_seconds + self.calm_seconds + self.hold_seconds

    def check(self) -> None:
        for name in ("connections", "room_size", "small_size", "sockets_per_vu", "delivery_sample"):
            if getattr(self, name) < 1:
                raise ProfileError(f"{name} must be 1 or more")
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and value < 0:
                raise ProfileError(f"{each.name} must not be negative")
        if self.ramp_falls >= 1:
            raise ProfileError("ramp_falls must be below 1: somebody comes in the last second")
        if self.behaviour not in BEHAVIOURS:
            raise ProfileError(
                f"no behaviour {self.behaviour!r}; there are {', '.join(BEHAVIOURS)}"
            )
        if unknown := set(self.mix) - {"hall", "room", "small"}:
            raise ProfileError(f"mix: no {', '.join(sorted(unknown))}; there are hall, room, small")
        if abs(sum(self.mix.values()) - 1) > 1e-6 or min(self.mix.values()) < 0:
            raise ProfileError(f"mix: the shares add up to {sum(self.mix.values()):g}, not to 1")
        if self.sockets_per_vu % self.small_size:
            # One VU then has all of a small room, and the parts are even.
            raise ProfileError("sockets_per_vu must be a multiple of small_size")
        if 0 < self.audit_messages_per_second < _LEAST_AUDIT:
            raise ProfileError(f"audit_messages_per_second must be 0, or {_LEAST_AUDIT} or more")
        if self.nodes == 1 and any(fault.what == "node_killed" for fault in self.faults):
            raise ProfileError("node_killed needs two nodes or more: somebody must be left")
        if unset := [name for name in self.settings if not name.startswith("STORM_")]:
            raise ProfileError(f"settings: {unset[0]!r} is no setting of STORM: they begin STORM_")


def names() -> list[str]:
    """Of the profiles that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str, changes: list[str] | None = None) -> Profile:
    """The profile of this name, or of the file of this path; ``changes``: ``key=value``, with
    dots for what is inside (``thresholds.ack_p95_ms=100``). Raises :class:`ProfileError`.
    """
    path = Path(name) if name.endswith(".json") else FOLDER / f"{name}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProfileError(
            f"there is no profile {name!r}; there are {', '.join(names())}, or the path of a "
            "file that ends in .json"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ProfileError(f"{path}: {error}") from None
    try:
        if isinstance(found, dict):
            for change in changes or []:
                _change(found, change)
        made: Profile = _make(Profile, found, "")
    except ProfileError as error:
        raise ProfileError(f"profile {name}: {error}") from None
    return made


def as_json(profile: Profile) -> dict[str, Any]:
    """For a file, and for k6."""
    return asdict(profile)


def from_json(found: dict[str, Any]) -> Profile:
    """What :func:`as_json` gave."""
    made: Profile = _make(Profile, found, "")
    return made


def _change(found: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise ProfileError(f"{change!r} should be key=value")
    *above, last = key.strip().split(".")
    inside = found
    for name in above:
        inside = inside.setdefault(name, {})
        if not isinstance(inside, dict):
            raise ProfileError(f"{key}: {name} has no parts with names")
    try:
        inside[last] = json.loads(text)
    except json.JSONDecodeError:
        inside[last] = text


def _make(kind: Any, found: Any, where: str) -> Any:
    """A dataclass of what stands in JSON, each part checked."""
    if not isinstance(found, dict):
        raise ProfileError(f"{where or 'the file'} should be an object, not {_kind(found)}")
    known = {each.name: each for each in fields(kind)}
    for key in found:
        if key not in known:
            raise ProfileError(f"unknown key {where}{key}; known are {', '.join(sorted(known))}")
    values = {}
    for name, each in known.items():
        if name in found:
            values[name] = _value(each.type, found[name], f"{where}{name}")
        elif each.default is MISSING and each.default_factory is MISSING:
            raise ProfileError(f"{where}{name} is missing")
    made = kind(**values)
    if hasattr(made, "check"):
        made.check()
    return made


def _value(kind: Any, found: Any, where: str) -> Any:
    if get_origin(kind) is list:
        if not isinstance(found, list):
            raise ProfileError(f"{where} should be a list, not {_kind(found)}")
        inner = get_args(kind)[0]
        return [_make(inner, each, f"{where}[{n}].") for n, each in enumerate(found)]
    if get_origin(kind) is dict:
        if not isinstance(found, dict):
            raise ProfileError(f"{where} should be an object, not {_kind(found)}")
        inner = get_args(kind)[1]
        return {str(key): _value(inner, each, f"{where}.{key}") for key, each in found.items()}
    if hasattr(kind, "__dataclass_fields__"):
        return _make(kind, found, f"{where}.")
    allowed = get_args(kind) or (kind,)
    if found is None and type(None) in allowed:
        return None
    if float in allowed and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    if type(found) in allowed:
        return found
    wanted = next(each for each in allowed if each is not type(None))
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    raise ProfileError(f"{where} should be {words[wanted]}, not {_kind(found)}")


def _kind(found: Any) -> str:
    return json.dumps(found)[:40]
