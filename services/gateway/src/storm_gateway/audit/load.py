"""The load: many senders and receivers over all nodes, in one process."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from storm_gateway.audit.client import Client
from storm_gateway.audit.crowd import Crowd
from storm_gateway.audit.receiver import Receiver
from storm_gateway.audit.scenario import LoadPlan
from storm_gateway.audit.sender import Sender

TICK_SECONDS = 0.01
_LOOK_TICKS = 10
_ASLEEP_SECONDS = 0.3
_START_SECONDS = 60.0
_START_SECONDS_OF_A_CLIENT = 0.04
"""Besides: thousands are invited one by one."""
_CONNECTS_AT_ONCE = 50
_ERRANDS_AT_ONCE = 32
_IDEMPOTENCE_TRIES = 3
_RETRIED_AT_ONCE = 500

OWNER = "owner"


class LoadError(Exception):
    """The load could not begin."""


class Load(Crowd):
    """Everyone. A scenario sees what they count; a run tells them what to do."""

    def __init__(self, plan: LoadPlan, **shared: Any) -> None:
        """``shared``: see :class:`Crowd`."""
        super().__init__(**shared)
        self.plan = plan
        self.channels: list[int] = []
        self.private: set[int] = set()
        self.senders: list[Sender] = []
        self.receivers: list[Receiver] = []
        self.began_at = 0.0
        """When sending began, and when it ended."""
        self.ended_at = 0.0
        self.retried = 0
        """Messages of unknown outcome that were sent again at the end, to prove idempotence."""
        self._sending = False
        self._ticker: asyncio.Task[None] | None = None

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self.senders) + len(self.receivers)

    @property
    def outstanding(self) -> int:
        """Messages whose outcome is not known yet."""
        return sum(sender.outstanding for sender in self.senders)

    def everyone(self) -> Iterator[Client]:
        """All clients."""
        return chain(self.senders, self.receivers)

    # --- for scenarios ---

    def connected_to(self, node: str) -> int:
        """Clients connected to the node of that name now."""
        return sum(client.node == node and client.is_back for client in self.everyone())

    def drop_all(self) -> int:
        """Cut the connection of every client at once, without a close frame; how many."""
        dropped = 0
        for client in self.everyone():
            if client.wire is not None:
                client.cut()
                dropped += 1
        return dropped

    # --- phases ---

    async def begin(self) -> None:
        """Make channels, connect everyone, let them in, subscribe. Raises :class:`LoadError`."""
        clients = self.plan.senders + self.plan.receivers
        limit = _START_SECONDS + _START_SECONDS_OF_A_CLIENT * clients
        try:
            async with asyncio.timeout(limit):
                await self._make_channels()
                self._make_clients()
                self._ticker = asyncio.create_task(self._tick())
                for number, client in enumerate(self.everyone()):
                    client.connect()
                    if number % _CONNECTS_AT_ONCE == _CONNECTS_AT_ONCE - 1:
                        await asyncio.sleep(0.05)
                await self._until(lambda: all(client.is_known for client in self.everyone()))
                await self._let_in()
                for receiver in self.receivers:
                    receiver.subscribe_all()
                await self._until(lambda: self.connected == self.clients)
        except TimeoutError:
            why = [
                *self.troubles[:3],
                *(f"{why} ({n} times)" for why, n in self.tries.most_common(2)),
            ]
            raise LoadError(
                f"after {limit:g} s only {self.connected} of {self.clients} clients are "
                f"connected and subscribed. {'; '.join(why)}"
            ) from None
        except OSError as error:
            raise LoadError(str(error)) from None

    def start_sending(self) -> None:
        """From now on messages are due, on a schedule that waits for nobody."""
        self.began_at = self.clock()
        self._sending = True

    def stop_sending(self) -> None:
        """No new messages; what is unknown is still asked for."""
        self._sending = False
        self.ended_at = self.clock()

    async def settle(self, seconds: float) -> None:
        """Wait until every outcome is known, ask each unknown one three times more, and wait until
        everyone has everything. What is not so in time stays as it is: the verdict tells.
        """
        deadline = self.clock() + seconds
        await self._within(deadline, lambda: not self.outstanding)
        unknown = [n for n in range(self.ledger.attempts) if self.ledger.unknown[n]]
        for at in range(0, len(unknown), _RETRIED_AT_ONCE):
            for _ in range(_IDEMPOTENCE_TRIES):
                for number in unknown[at : at + _RETRIED_AT_ONCE]:
                    self.senders[self.ledger.sender[number]].ask_again(number)
                await self._within(deadline, lambda: not self.outstanding)
        self.retried = len(unknown)
        await self._within(
            deadline, lambda: all(receiver.is_at(self.heads) for receiver in self.receivers)
        )
        # What comes now, came unasked: a repeat, or worse.
        await asyncio.sleep(0.3)

    async def end(self) -> None:
        """Everyone leaves."""
        for client in self.everyone():
            client.leave()
        if self._ticker is not None:
            self._ticker.cancel()
        await self._wait(lambda: all(client.wire is None for client in self.everyone()), 3.0)
        for client in self.everyone():
            client.cut()
        for task in list(self._tasks):
            task.cancel()

    # --- making ---

    async def _make_channels(self) -> None:
        for number in range(self.plan.channels):
            visibility = "private" if number % 2 else "public"
            name = f"audit {self.run} {number}"
            channel = await self.rest.create_channel(self._user(OWNER), name, visibility)
            self.channels.append(channel)
            self.heads[channel] = 0
            if visibility == "private":
                self.private.add(channel)

    def _make_clients(self) -> None:
        plan = self.plan
        for number in range(plan.senders):
            channels = self._some(number, plan.subscriptions)
            self.senders.append(Sender(self, self._user(f"s{number}"), channels))
        for number in range(plan.receivers):
            channels = self._some(number, plan.subscriptions)
            self.receivers.append(Receiver(self, self._user(f"r{number}"), channels))
        for number in range(plan.outsiders if self.private else 0):
            user_id = self._user(f"x{number}")
            self.receivers.append(Receiver(self, user_id, sorted(self.private), outsider=True))
        # Everyone has a first node; neighbours have different ones.
        for number, client in enumerate(self.everyone()):
            client.aim(number)

    def _user(self, name: str) -> str:
        return f"{self.run}-{name}"

    def _some(self, number: int, count: int) -> list[int]:
        """Channels of one client: every channel gets as many."""
        channels = self.channels
        first = number * count
        return [
            channels[(first + step) % len(channels)] for step in range(min(count, len(channels)))
        ]

    async def _let_in(self) -> None:
        turns = asyncio.Semaphore(_ERRANDS_AT_ONCE)

        async def invite(channel: int, user_id: str) -> None:
            async with turns:
                await self.rest.invite(self._user(OWNER), channel, user_id)

        wanted = [
            (channel, client.user_id)
            for client, channels in self._memberships()
            for channel in channels
            if channel in self.private
        ]
        await asyncio.gather(*(invite(channel, user_id) for channel, user_id in wanted))

    def _memberships(self) -> Iterator[tuple[Client, Sequence[int]]]:
        for sender in self.senders:
            yield sender, sender.channels
        for receiver in self.receivers:
            if not receiver.outsider:
                yield receiver, list(receiver.subscriptions)

    # --- running ---

    async def _tick(self) -> None:
        """Send what is due, and look after everyone. One task for all."""
        loop = asyncio.get_running_loop()
        due, last, ticks = 0.0, loop.time(), 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            passed, last = now - last, now
            if passed > _ASLEEP_SECONDS:
                for client in self.everyone():
                    client.forgive(passed)
            if self._sending:
                due += passed * self.plan.rate
                while due >= 1:
                    due -= 1
                    self.senders[self.random.randrange(len(self.senders))].send_new()
            ticks += 1
            if ticks % _LOOK_TICKS == 0:
                at = self.clock()
                for client in self.everyone():
                    client.look(at)

    async def _until(self, holds: Any) -> None:
        while not holds():  # noqa: ASYNC110 many small facts; an event for each would cost more
            await asyncio.sleep(TICK_SECONDS)

    async def _within(self, deadline: float, holds: Any) -> None:
        await self._wait(holds, deadline - self.clock())

    async def _wait(self, holds: Any, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.1, seconds)):
                await self._until(holds)
        except TimeoutError:
            return
