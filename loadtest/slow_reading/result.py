"""What one run found, and what of it is not as it should be."""

from dataclasses import dataclass, field

from common.figures import mebibytes, median, percentile

from slow_reading.conditions import OUTBOX_BYTES


@dataclass
class Result:
    """The figures of one run."""

    slow: bool
    during: list[float] = field(default_factory=list)
    """Latencies in ms, sorted, while the slow ones did not read."""
    back: list[float] = field(default_factory=list)
    """While they came back."""
    slow_commits: float = 0.0
    """Commits of more than 100 ms in all of the run."""
    messages: int = 0
    window: float = 0.0
    pss_before: int = 0
    pss_growth: int = 0
    kernel_send: int = 0
    kernel_growth: int = 0
    outbox: float = 0.0
    cpu: float = 0.0
    closed: int = 0
    saw: int = 0
    resumed: int = 0
    lost: int = 0
    repeated: int = 0
    short: int = 0


def faults_of(results: list[Result], slow: int, own: bool) -> list[str]:
    """What is not as it should be."""
    faults = []
    with_slow = [result for result in results if result.slow]
    without = [result for result in results if not result.slow]
    before = median(percentile(result.during, 0.99) for result in without)
    after = median(percentile(result.during, 0.99) for result in with_slow)
    if not after <= 2 * before:
        faults.append(f"p99 of the others went from {before:.1f} to {after:.1f} ms")
    for number, result in enumerate(results, start=1):
        wanted = slow if result.slow else 0
        if (result.closed, result.saw, result.resumed) != (wanted, wanted, wanted):
            faults.append(
                f"run {number}: of {wanted} slow readers {result.closed} were closed, "
                f"{result.saw} saw 4001, {result.resumed} came back"
            )
        if result.lost or result.repeated or result.short:
            faults.append(
                f"run {number}: {result.lost} events lost, {result.repeated} twice, "
                f"{result.short} connections behind at the end"
            )
        if own and result.pss_growth > slow * OUTBOX_BYTES:
            faults.append(f"run {number}: memory grew by {mebibytes(result.pss_growth)} MiB")
    return faults
