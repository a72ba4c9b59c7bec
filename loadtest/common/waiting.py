"""Waiting for something that nobody announces."""

import asyncio
import time
from collections.abc import Callable


async def until(done: Callable[[], bool], seconds: float) -> bool:
    """Look again and again until it is so; False when that takes more than ``seconds``."""
    last = time.monotonic() + seconds
    while not done():
        if time.monotonic() > last:
            return False
        await asyncio.sleep(0.02)
    return True
