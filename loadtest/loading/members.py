"""Users who are there before the run: a deployment's people, who open their client in the morning.

Written into the database of our own stack, as 100,000 joins through the gateway would leave it, but
for the ``member.joined`` of each.
"""

import asyncio
import time
from collections.abc import Iterator

import asyncpg
from common.progress import say

from loading.profile import Profile
from loading.scene import Channels

_SECONDS = 120.0
_PEOPLE = ("id", "display_name", "created_at")
_MEMBERS = ("channel_id", "user_id", "standing", "joined_at", "read_seq")
_COUNT = """
UPDATE channels SET member_count = member_count + joined.count
FROM (SELECT channel_id, count(*) FROM members WHERE joined_at = $1 GROUP BY 1) AS joined
WHERE id = joined.channel_id
"""


def add(dsn: str, profile: Profile, scene: str, channels: Channels) -> None:
    """Every user of the scene exists, and is a member of a small room, a room and the hall. Raises
    the driver's errors, for example when they exist already.
    """
    say(f"adding {profile.connections:,} users, members of their channels")
    asyncio.run(_add(dsn, profile, scene, channels))


async def _add(dsn: str, profile: Profile, scene: str, channels: Channels) -> None:
    now = int(time.time() * 1000)
    connection = await asyncpg.connect(dsn, timeout=_SECONDS, command_timeout=_SECONDS)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "users",
                columns=_PEOPLE,
                records=[(name, name, now) for name in _names(profile, scene)],
            )
            await connection.copy_records_to_table(
                "members",
                columns=_MEMBERS,
                records=[
                    (channel, name, "member", now, 0)
                    for number, name in enumerate(_names(profile, scene))
                    for channel in channels.of(number, profile.small_size)
                ],
            )
            await connection.execute(_COUNT, now)
        await connection.execute("ANALYZE users, members, channels")
    finally:
        await connection.close()


def _names(profile: Profile, scene: str) -> Iterator[str]:
    return (f"{scene}-{number}" for number in range(profile.connections))
