"""Where it happens, and what has happened so far."""

from collections.abc import Callable
from dataclasses import dataclass, field

from common.node import Node
from common.progress import say
from common.waiting import until

WAIT_SECONDS = 30.0
_FAULTS_SAID = 20


@dataclass
class Outcome:
    """What happened."""

    faults: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """What ``storm import`` said, for the report."""
    figures: list[tuple[str, str]] = field(default_factory=list)
    acks: list[float] = field(default_factory=list)
    """From sending to the ack, in ms."""
    sent_at: dict[int, float] = field(default_factory=dict)
    """Seq of an acked message → when it was sent, by the monotonic clock."""
    deliveries: list[float] = field(default_factory=list)
    """A second, over time, for the plot."""

    def fault(self, text: str) -> None:
        """Something is not as it should be."""
        self.faults.append(text)
        if len(self.faults) <= _FAULTS_SAID:
            say(f"FAULT {text}")

    def figure(self, name: str, value: str) -> None:
        """One row of the report."""
        self.figures.append((name, value))

    async def wait_until(self, what: str, done: Callable[[], bool]) -> None:
        """Wait until it is so; it is a fault when that takes too long."""
        if not await until(done, WAIT_SECONDS):
            self.fault(f"after {WAIT_SECONDS:.0f} s it is not so that {what}")


@dataclass(frozen=True)
class Scene:
    """What every part needs: the gateway, the channel on it, the outcome."""

    node: Node
    channel: int
    outcome: Outcome
