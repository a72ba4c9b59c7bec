"""A node that is started as people start it shares full processors in larger turns."""

import os
import sys
from collections.abc import Awaitable, Callable

import pytest
from harness import Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such policy")


@pytest.mark.parametrize("scheduling", ["batch", "normal"])
async def test_a_node_is_scheduled_as_its_setting_says(
    start_process: Callable[..., Awaitable[Process]], scheduling: str
) -> None:
    own = os.sched_getscheduler(0)
    node = await start_process(scheduling=scheduling)
    usual = scheduling == "batch" and own == os.SCHED_OTHER
    assert os.sched_getscheduler(node.process.pid) == (os.SCHED_BATCH if usual else own)
