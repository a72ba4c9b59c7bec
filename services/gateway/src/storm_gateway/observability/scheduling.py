"""How the system shares processors between this node and what runs beside it."""

import os
from typing import Literal

Scheduling = Literal["batch", "normal"]


def schedule(policy: Scheduling) -> bool:
    """Let this process, and the threads it starts from now on, run under ``policy``; whether that
    changed anything.

    ``batch``: when it wakes, it does not push aside what is running (``sched(7)``, SCHED_BATCH).
    On a machine with a free processor that is no difference. On a full one it is moved less often
    from one processor to another, and finds more to do at once when it is its turn. Needs no
    privileges. Whoever chose a policy other than the usual one keeps it.
    """
    if policy == "normal" or not hasattr(os, "SCHED_BATCH"):
        return False
    try:
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            return False
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        return False  # a sandbox forbids it: it runs as it did
    return True
