"""What the project promises about these figures, and whether a run shows it."""

from collections.abc import Sequence

from harness import durable
from harness.figures import Run, middle, number, percent, ratio, table, times
from harness.room import FRAMES_PER_WRITE
from harness.servers import LIMIT, PEER_KEYS

IDLE_BYTES = 3 * 1024
SHARE_OF_LIMIT = 0.7
ACKS_PER_SECOND = 10_000
RATES = ["upgrade", "reconnect", *(f"deliver_{frames}" for frames in FRAMES_PER_WRITE)]


def _leads(runs: Sequence[Run]) -> list[float]:
    """By how much STORM is ahead, for every peer and row."""
    found = []
    for key in PEER_KEYS:
        for name in RATES:
            mine, theirs = (("room", who, name, "per_second") for who in ("storm", key))
            found.append(ratio(runs, mine, theirs))
        mine_bytes, their_bytes = (("room", who, "idle_bytes") for who in ("storm", key))
        found.append(ratio(runs, their_bytes, mine_bytes))
    return [lead for lead in found if lead is not None]


def goals(runs: Sequence[Run]) -> list[str]:
    """A table: the goal, the figure, and whether it is reached."""
    rows: list[list[str]] = []

    def goal(text: str, figure: str, reached: bool) -> None:
        rows.append([text, figure, "yes" if reached else "**no**"])

    idle = middle(runs, "room", "storm", "idle_bytes")
    if idle is not None:
        text = f"at most {IDLE_BYTES:,} bytes per idle connection"
        goal(text, number(idle), idle <= IDLE_BYTES)
    mine, limit = (("room", who, "deliver_1", "per_second") for who in ("storm", LIMIT))
    share = ratio(runs, mine, limit)
    if share is not None:
        text = f"at least {percent(SHARE_OF_LIMIT)} of the limit at one frame a write"
        goal(text, percent(share), share >= SHARE_OF_LIMIT)
    if leads := _leads(runs):
        text = "ahead of every peer on every row (the closest one)"
        goal(text, times(min(leads)), min(leads) > 1)
    acks = [middle(runs, "durable", f"senders_{w}", "per_second") for w in durable.WINDOWS]
    best = max((rate for rate in acks if rate is not None), default=None)
    if best is not None:
        text = f"at least {ACKS_PER_SECOND:,} durable acks/s with {durable.SENDERS} senders"
        goal(text, number(best), best >= ACKS_PER_SECOND)
    return table(["goal", "measured", "reached"], rows)
