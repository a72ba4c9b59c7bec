"""What a run, or one machine's share of it, found; as a file; several as one."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loading.figures import Figures, Slot
from loading.profile import Profile, ProfileError, as_json, from_json

_FORMAT = 3


@dataclass
class Result:
    """Of one machine, or merged."""

    profile: Profile
    figures: Figures
    slow: Figures
    """Those who were kept from reading; no service level is theirs, but nothing may be lost."""
    heads: dict[int, int]
    """Newest seq of each channel, by the store, after the last message."""
    vus: int
    """That should have come to their end."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Of :class:`loading.watch.Sample`; of the first machine, where there are several."""
    refused: list[tuple[str, int]] = field(default_factory=list)
    """Of :class:`loading.refusals.Refusals`."""
    silences: list[tuple[float, float]] = field(default_factory=list)
    """Of each k6: for how many seconds no VU of it said anything, at most, and when that ended."""
    windows: list[dict[str, Any]] = field(default_factory=list)
    """Of :class:`loading.faults.Window`."""
    summaries: list[dict[str, Any]] = field(default_factory=list)
    """Of k6 itself, one for each process."""
    notes: list[str] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)
    """What ``storm audit`` said, where it rode along."""
    faults: list[str] = field(default_factory=list)
    """What went wrong besides missed service levels."""
    share: str = "1/1"
    processes: int = 0

    @property
    def lost(self) -> int:
        """By both groups."""
        return self.figures.lost(self.heads) + self.slow.lost(self.heads)

    def save(self, path: Path) -> None:
        """Write it, for :func:`merge`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "format": _FORMAT,
            "profile": as_json(self.profile),
            "figures": _figures_json(self.figures),
            "slow": _figures_json(self.slow),
            "heads": list(self.heads.items()),
            **{name: getattr(self, name) for name in _PLAIN},
        }
        path.write_text(json.dumps(found) + "\n")


_PLAIN = (
    "vus", "samples", "refused", "silences", "windows", "summaries", "notes", "audit", "faults",
    "share", "processes",
)  # fmt: skip


def read(path: Path) -> Result:
    """Raises ``RuntimeError`` for a file that :meth:`Result.save` has not written."""
    try:
        found = json.loads(path.read_text())
        if found["format"] != _FORMAT:
            raise RuntimeError(f"{path} is of another version of this program")
        return Result(
            profile=from_json(found["profile"]),
            figures=_figures(found["figures"]),
            slow=_figures(found["slow"]),
            heads={int(channel): int(head) for channel, head in found["heads"]},
            **{name: found[name] for name in _PLAIN},
        )
    except (OSError, ValueError, KeyError, TypeError, ProfileError) as error:
        raise RuntimeError(f"{path} is no result of a share: {error}") from None


def merge(results: list[Result]) -> Result:
    """All shares as one. Raises ``RuntimeError`` when they do not belong together."""
    first, *others = sorted(results, key=lambda result: int(result.share.partition("/")[0]))
    count = int(first.share.partition("/")[2])
    shares = sorted(int(result.share.partition("/")[0]) for result in results)
    if {result.share.partition("/")[2] for result in results} != {str(count)}:
        raise RuntimeError("these are shares of different runs: n of k/n is not the same")
    if shares != list(range(1, count + 1)):
        raise RuntimeError(f"of {count} shares there are {', '.join(map(str, shares))}")
    if any(other.profile != first.profile for other in others):
        raise RuntimeError("these are shares of different profiles")
    begins = [result.figures.began_ms for result in results]
    if max(begins) - min(begins) > 1_000:
        raise RuntimeError("these shares did not begin at the same moment (--at)")
    whole = Result(
        profile=first.profile,
        figures=_merge_figures([result.figures for result in results]),
        slow=_merge_figures([result.slow for result in results]),
        heads={},
        vus=sum(result.vus for result in results),
        samples=first.samples,
        refused=first.refused,
        silences=[silence for result in (first, *others) for silence in result.silences],
        audit=first.audit,
        share=f"all {count}",
        processes=sum(result.processes for result in results),
    )
    for result in (first, *others):
        for channel, head in result.heads.items():
            whole.heads[channel] = max(head, whole.heads.get(channel, 0))
        prefix = f"share {result.share}: " if others else ""
        whole.notes += [prefix + note for note in result.notes]
        whole.faults += [prefix + fault for fault in result.faults]
        whole.windows += result.windows
        whole.summaries += result.summaries
    return whole


def _merge_figures(parts: list[Figures]) -> Figures:
    whole = Figures(min(part.began_ms for part in parts))
    opened = [part.opened_ms for part in parts]
    whole.opened_ms = None if None in opened else max(each for each in opened if each)
    for part in parts:
        whole.total.add(part.total)
        for number, slot in part.slots.items():
            whole.slots.setdefault(number, Slot()).add(slot)
        for channel, tail in part.tails.items():
            have = whole.tails.setdefault(channel, [0, 0, 0])
            have[:] = [have[0] + tail[0], have[1] + tail[1], max(have[2], tail[2])]
        whole.missing += part.missing
        whole.unacked += part.unacked
        whole.ended += part.ended
    return whole


def _figures_json(figures: Figures) -> dict[str, Any]:
    return {
        "began_ms": figures.began_ms,
        "opened_ms": figures.opened_ms,
        "total": figures.total.as_json(),
        "slots": [[number, slot.as_json()] for number, slot in sorted(figures.slots.items())],
        "tails": [[channel, *tail] for channel, tail in figures.tails.items()],
        "missing": figures.missing,
        "unacked": figures.unacked,
        "ended": figures.ended,
    }


def _figures(found: dict[str, Any]) -> Figures:
    made = Figures(found["began_ms"])
    made.opened_ms = found["opened_ms"]
    made.total = Slot.from_json(found["total"])
    made.slots = {number: Slot.from_json(slot) for number, slot in found["slots"]}
    made.tails = {channel: tail for channel, *tail in found["tails"]}
    made.missing, made.unacked, made.ended = (
        found["missing"],
        found["unacked"],
        found["ended"],
    )
    return made
