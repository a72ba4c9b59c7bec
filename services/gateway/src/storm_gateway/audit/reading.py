"""What is stored at the end, read in two ways that must agree: history pages, and the store."""

from collections.abc import Sequence

from storm_gateway.audit.ledger import Ledger, Stored, StoredMessage
from storm_gateway.audit.rest import Rest
from storm_gateway.config import Config
from storm_gateway.observability.metrics import Metrics
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.store.sql_store import SqlStore

_PAGE = 1_000


async def read_pages(ledger: Ledger, rest: Rest, user_id: str, channels: Sequence[int]) -> Stored:
    """By REST, as any client reads history. Raises ``OSError`` when no node answers."""
    messages: dict[int, list[StoredMessage]] = {}
    for channel in channels:
        rows = messages[channel] = []
        after = 0
        while page := await rest.page(user_id, channel, after):
            for seen in page:
                number, print_ = ledger.identify(channel, seen.user_id, seen.payload)
                rows.append(StoredMessage(seen.seq, seen.id, number, print_))
            after = max(seen.seq for seen in page)
    return Stored(messages)


async def read_store(ledger: Ledger, config: Config, channels: Sequence[int]) -> Stored:
    """Without any node: the whole log of each channel, from the database itself.

    Raises ``StormError`` when it cannot be opened or read.
    """
    messages: dict[int, list[StoredMessage]] = {channel: [] for channel in channels}
    changes: dict[int, set[int]] = {channel: set() for channel in channels}
    store = SqlStore(config, Metrics())
    await store.start(lambda committed: None)
    try:
        heads = await store.channels.heads(channels)
        for channel in channels:
            for after in range(0, heads.get(channel, 0), _PAGE):
                replay = await store.messages.replay(channel, after, _PAGE, after + _PAGE)
                for event in replay.events:
                    if isinstance(event, MessageEvent):
                        number, print_ = ledger.identify(channel, event.user_id, event.payload)
                        row = StoredMessage(event.seq, event.id, number, print_)
                        messages[channel].append(row)
                    else:
                        changes[channel].add(event.seq)
    finally:
        await store.stop()
    return Stored(messages, changes)


def disagreements(one: Stored, other: Stored) -> list[str]:
    """Messages that one reading has and the other has not, or has differently."""

    def rows(stored: Stored) -> dict[tuple[int, int, int], StoredMessage]:
        return {
            (channel, row.seq, row.id): row
            for channel, found in stored.messages.items()
            for row in found
        }

    first, second = rows(one), rows(other)
    return [
        f"channel {channel}, seq {seq}, id {id_}: told differently"
        for channel, seq, id_ in sorted(first.keys() | second.keys())
        if first.get((channel, seq, id_)) != second.get((channel, seq, id_))
    ]
