"""The file imported, twice: the second time must store nothing."""

import subprocess
import time
from pathlib import Path

from common.node import Node
from common.progress import say

from replaying.scene import Outcome

_IMPORT_SECONDS = 300


def import_twice(node: Node, file: Path, channel: str, count: int, outcome: Outcome) -> None:
    """``storm import`` of the ``count`` messages of ``file`` into a channel of this name."""
    for attempt, wanted in (("first", count), ("second", 0)):
        began = time.monotonic()
        done = subprocess.run(  # noqa: S603 our own program
            node.command("import", str(file), "--channel", channel),
            env=node.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_IMPORT_SECONDS,
        )
        seconds = time.monotonic() - began
        said = done.stdout.splitlines()
        say(f"{attempt} import: {said[0] if said else done.stderr[-300:]}")
        outcome.said += [f"$ storm import FILE --channel {channel}", *said]
        if done.returncode:
            outcome.fault(
                f"the {attempt} import ended with {done.returncode}: {done.stderr[-500:]}"
            )
        elif not said or not said[0].startswith(f"{wanted:,} messages imported"):
            outcome.fault(f"the {attempt} import should have stored {wanted:,} messages")
        outcome.figure(f"{attempt} import of {count:,} messages", f"{seconds:.1f} s")
