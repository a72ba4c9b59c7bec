"""A node that stops in the midst of its transaction, holding the lock of a channel.

usage: store_holder.py <database URL>
"""

import asyncio
import os
import sys
import time

from store_harness import GENERAL, start


def hold(*_: object) -> None:
    """A rule is asked when the channel is locked."""
    os.write(1, b"locked\n")
    time.sleep(60)


async def main(url: str) -> None:
    harness = await start(database_url=url)
    await harness.append(GENERAL, "holder", rule=hold)


asyncio.run(main(*sys.argv[1:]))
