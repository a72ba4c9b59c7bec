"""What was committed goes to the bus, in commit order: the only publisher of channel events."""

from typing import Literal

from storm_gateway.actions.access import AccessCache
from storm_gateway.bus.base import CONTROL, Bus, ChannelEvent, ControlEvent, topic_of_channel
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import (
    ChannelDeleted,
    ChannelUpdated,
    Durable,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    MessageEvent,
    ReadEvent,
    TypingEvent,
)
from storm_gateway.store.records import Committed


class Publisher:
    """The store's ``committed`` listener, and the way of ephemeral events.

    Each event is encoded once, here; every node and every connection gets these bytes.
    """

    def __init__(self, bus: Bus, access: AccessCache) -> None:
        self._bus = bus
        self._access = access

    def committed(self, commit: Committed) -> None:
        """Publish the durable events of one commit. Never raises: they are stored already."""
        for event in commit.events:
            body = encode(event)
            if type(event) is not MessageEvent and (told := control_of(event, body)) is not None:
                # Before the event itself: who was removed must not receive what comes after it.
                self.control(told)
            self._publish(ChannelEvent(event.channel_id, event.seq, body))

    def ephemeral(self, event: TypingEvent | ReadEvent, audience: str | None = None) -> None:
        """Publish an event without a seq, to one user's connections when there is ``audience``."""
        self._publish(ChannelEvent(event.channel_id, 0, encode(event), audience))

    def control(self, event: ControlEvent) -> None:
        """Tell every node, this one first: its own rights must not wait for the bus."""
        self._access.on_control(event)
        self._bus.publish(CONTROL, event)

    def _publish(self, event: ChannelEvent) -> None:
        self._bus.publish(topic_of_channel(event.channel_id), event)


def control_of(event: Durable, body: bytes) -> ControlEvent | None:
    """What an event means for rights, as every node is told; None: nothing.

    ``body``: the event, encoded.
    """
    match event:
        case MemberLeft():
            # With the event: who left is cut off before it comes through the channel.
            return _rights("access_lost", event, body)
        case MemberJoined():
            # An invitation comes with the event: the user may not be listening there yet.
            invited = event.by is not None and event.by != event.user_id
            return _rights("access_changed", event, body if invited else b"")
        case MemberUpdated():
            return _rights("access_changed", event, b"")
        case ChannelUpdated():
            # It may be private now: everybody's right to it has to be looked at again.
            return ControlEvent("access_changed", channel_id=event.channel_id)
        case ChannelDeleted():
            # The subscribers get the event with the notice that ends their subscription.
            return ControlEvent("channel_deleted", channel_id=event.channel_id, body=body)
        case _:
            return None


def _rights(
    kind: Literal["access_changed", "access_lost"],
    event: MemberJoined | MemberLeft | MemberUpdated,
    body: bytes,
) -> ControlEvent:
    return ControlEvent(kind, user_id=event.user_id, channel_id=event.channel_id, body=body)
