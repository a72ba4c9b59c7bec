"""A process that appends as fast as it can and says what was acknowledged, until it is killed.

usage: store_child.py <data folder or database URL> <round>
"""

import asyncio
import os
import sys
from pathlib import Path

from store_harness import GENERAL, NOON, allow, start

from storm_gateway.store.records import Appended, AppendMessage


async def main(where: str, round_: str) -> None:
    harness = await (start(database_url=where) if "://" in where else start(Path(where)))

    def send(sender: int, number: int) -> None:
        user_id, ref = f"user{sender}", f"{round_}-{number}"

        def done(result: Appended) -> None:
            # One write of a short line to a pipe is whole or not at all.
            line = f"{result.event.id} {result.event.seq} {user_id} {ref}\n"
            os.write(1, line.encode())
            send(sender, number + 1)

        message = AppendMessage(GENERAL, user_id, f"{user_id} {ref}", NOON, ref)
        harness.store.messages.append(message, allow, done)

    for sender in range(40):
        send(sender, 0)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
