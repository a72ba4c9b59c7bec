"""A client that receives: it resumes where it was, and writes down everything that comes."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storm_gateway.audit.client import Client
from storm_gateway.audit.ledger import CHANGE
from storm_gateway.protocol import events
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.commands import Subscribe

if TYPE_CHECKING:
    from storm_gateway.audit.crowd import Crowd
    from storm_gateway.audit.rest import Seen

_RETRY_SECONDS = 0.5
_RETRIED = frozenset({"unavailable", "internal", "rate_limited"})
_HIDDEN = frozenset({"not_found", "forbidden", "banned"})


class Subscription:
    """What the client knows of one channel."""

    __slots__ = ("asked", "behind", "channel", "filling", "generation", "last", "stream")

    def __init__(self, channel: int, stream: int) -> None:
        self.channel = channel
        self.stream = stream
        self.last: int | None = None
        """The newest seq up to which nothing is missing; None: never subscribed yet."""
        self.generation = 0
        self.asked = False
        """A subscribe is under way."""
        self.filling: asyncio.Task[None] | None = None
        self.behind: list[events.Durable] = []
        """What came while a gap was read from history pages."""


class Receiver(Client):
    """Receives some channels over all its connections."""

    def __init__(
        self, crowd: "Crowd", user_id: str, channels: Sequence[int], *, outsider: bool = False
    ) -> None:
        super().__init__(crowd, user_id)
        self.outsider = outsider
        """Its channels are not its own: it must be refused."""
        self.place = crowd.next_receiver()
        self.subscriptions = {
            channel: Subscription(channel, crowd.ledger.add_stream(self.place, channel))
            for channel in channels
        }
        self.may_subscribe = False

    def began(self) -> None:
        if self.may_subscribe:
            self.subscribe_all()

    def subscribe_all(self) -> None:
        """Ask for every channel, each from where it stands."""
        self.may_subscribe = True
        if self.is_known:
            for subscription in self.subscriptions.values():
                self._subscribe(subscription)

    def ended(self) -> None:
        for subscription in self.subscriptions.values():
            subscription.asked = False
            subscription.behind.clear()
            if subscription.filling is not None:
                subscription.filling.cancel()
                subscription.filling = None

    def is_at(self, heads: dict[int, int]) -> bool:
        """Whether it has everything up to those heads."""
        return self.outsider or (
            self.is_back
            and all(
                (sub.last or 0) >= heads.get(sub.channel, 0) for sub in self.subscriptions.values()
            )
        )

    def _subscribe(self, subscription: Subscription) -> None:
        if self.wire is not None and not subscription.asked:
            subscription.asked = True
            channel = subscription.channel
            self.wire.send(encode(Subscribe(channel, subscription.last, f"s{channel}")))

    def _subscribe_later(self, subscription: Subscription, seconds: float) -> None:
        wire = self.wire

        def again() -> None:
            if self.wire is wire:
                subscription.asked = False
                self._subscribe(subscription)

        asyncio.get_running_loop().call_later(seconds, again)

    # --- hearing ---

    def told(self, event: object, text: bytes) -> None:
        match event:
            case events.Subscribed():
                self._subscribed(event)
            case events.Heartbeat(heads=heads):
                self._compare(heads)
            case events.Error():
                self._refused(event)
            case events.MessageEvent():
                self._durable(event)
            case _ if isinstance(event, events.DURABLE_EVENTS):
                self._durable(event)  # type: ignore[arg-type]

    def _subscribed(self, event: events.Subscribed) -> None:
        subscription = self.subscriptions.get(event.channel_id)
        if subscription is None:
            self.crowd.trouble(f"{self.user_id}: subscribed to {event.channel_id} unasked")
            return
        subscription.asked = False
        subscription.generation += 1
        if self.outsider:
            self.crowd.trouble(f"{self.user_id} could subscribe a channel that is not theirs")
            return
        if subscription.last is None:
            subscription.last = event.head
            self.crowd.ledger.entitle(subscription.stream, event.head)
        if event.gap is not None:
            self.crowd.gaps += 1
            gap = (event.gap.from_, event.gap.to)
            self.crowd.ledger.streams[subscription.stream].gaps.append(gap)
            subscription.filling = self.crowd.start(self._fill(subscription, *gap))
        if all(sub.generation and not sub.asked for sub in self.subscriptions.values()):
            self.back()

    def _refused(self, event: events.Error) -> None:
        channel = int(event.ref[1:]) if event.ref and event.ref[1:].isdigit() else 0
        subscription = self.subscriptions.get(channel)
        if event.code in _RETRIED:
            self.crowd.errors[event.code] += 1
        if subscription is None:
            if event.code not in _RETRIED:
                self.crowd.trouble(f"{self.user_id}: {event.code}: {event.message}")
        elif event.code in _RETRIED:
            after = event.retry_after_ms
            self._subscribe_later(subscription, after / 1000 if after else _RETRY_SECONDS)
        elif self.outsider and event.code in _HIDDEN:
            self.crowd.refused_outsiders += 1
            self.back()
        else:
            self.crowd.trouble(f"{self.user_id}, channel {channel}: {event.code}: {event.message}")

    def _compare(self, heads: dict[str, int]) -> None:
        """Everything up to a heartbeat's heads has been delivered, or it was lost on the way."""
        for channel, head in heads.items():
            subscription = self.subscriptions.get(int(channel))
            if (
                subscription is not None
                and subscription.last is not None
                and subscription.filling is None
                and head > subscription.last
                and not subscription.asked
            ):
                self.crowd.healed += 1
                self._subscribe(subscription)

    # --- events ---

    def _durable(self, event: events.Durable) -> None:
        subscription = self.subscriptions.get(event.channel_id)
        if subscription is None:
            stream = self.crowd.ledger.add_stream(self.place, event.channel_id)
            subscription = Subscription(event.channel_id, stream)
            self.subscriptions[event.channel_id] = subscription
        if subscription.filling is not None:
            subscription.behind.append(event)
            return
        self._note(subscription, event)

    def _note(self, subscription: Subscription, event: "events.Durable | Seen") -> None:
        crowd, ledger, seq = self.crowd, self.crowd.ledger, event.seq
        number, print_, id_ = CHANGE, 0, 0
        if isinstance(event, events.DURABLE_EVENTS) and not isinstance(event, events.MessageEvent):
            pass
        else:
            id_ = event.id  # type: ignore[union-attr]
            number, print_ = crowd.identify(event)  # type: ignore[arg-type]
        at = ledger.receive(
            subscription.stream, subscription.generation, seq, id_, number, crowd.clock()
        )
        if print_:
            ledger.prints[at] = print_
        last = subscription.last
        if last is None or seq <= last:
            return
        crowd.delivered += 1
        if seq == last + 1:
            subscription.last = seq
        elif not subscription.asked:
            # A hole, which must not be: ask for what is missing, as every client would.
            crowd.holes += 1
            self._subscribe(subscription)

    async def _fill(self, subscription: Subscription, first: int, last: int) -> None:
        """Read what was not replayed from history pages; live events wait meanwhile."""
        after = first - 1
        while after < last:
            try:
                page = await self.crowd.rest.page(
                    self.user_id, subscription.channel, after, self._target
                )
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for seen in page:
                if first <= seen.seq <= last:
                    self._note_filled(subscription, seen)
            after = max([seen.seq for seen in page], default=last)
        subscription.last = max(subscription.last or 0, last)
        subscription.filling = None
        behind, subscription.behind = subscription.behind, []
        for event in behind:
            self._durable(event)

    def _note_filled(self, subscription: Subscription, seen: "Seen") -> None:
        crowd = self.crowd
        number, print_ = crowd.identify(seen)
        at = crowd.ledger.receive(
            subscription.stream, subscription.generation, seen.seq, seen.id, number, crowd.clock()
        )
        if print_:
            crowd.ledger.prints[at] = print_
        crowd.delivered += 1
        crowd.filled += 1
        subscription.last = seen.seq
