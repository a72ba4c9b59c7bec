"""Users who are there before the run: a deployment's people, who open their client in the morning.

Written into the database of our own stack, as their joins through the gateway would leave it, but
for the ``member.joined`` of each.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import asyncpg
from common.progress import say

_SECONDS = 120.0
_PEOPLE = ("id", "display_name", "created_at")
_MEMBERS = ("channel_id", "user_id", "standing", "joined_at", "read_seq")
_COUNT = """
UPDATE channels SET member_count = member_count + joined.count
FROM (SELECT channel_id, count(*) FROM members WHERE joined_at = $1 GROUP BY 1) AS joined
WHERE id = joined.channel_id
"""


class Person(NamedTuple):
    """A user, and the channels that it is a member of."""

    name: str
    channels: Sequence[int]


def add(dsn: str, people: Iterable[Person]) -> None:
    """All of them exist, and are members. Raises the driver's errors, for example when they exist
    already.
    """
    asyncio.run(_add(dsn, list(people)))


async def _add(dsn: str, people: Sequence[Person]) -> None:
    say(f"adding {len(people):,} users, members of their channels")
    now = int(time.time() * 1000)
    connection = await asyncpg.connect(dsn, timeout=_SECONDS, command_timeout=_SECONDS)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "users", columns=_PEOPLE, records=[(each.name, each.name, now) for each in people]
            )
            await connection.copy_records_to_table(
                "members",
                columns=_MEMBERS,
                records=[
                    (channel, each.name, "member", now, 0)
                    for each in people
                    for channel in each.channels
                ],
            )
            await connection.execute(_COUNT, now)
        await connection.execute("ANALYZE users, members, channels")
    finally:
        await connection.close()
