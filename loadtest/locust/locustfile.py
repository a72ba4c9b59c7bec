"""The users of the load test for Locust: how they behave, what can be set, and the verdict.

`make locust` starts it with a STORM of its own. By hand:

    STORM_JWT_SECRET=… .venv/locust/bin/locust -f loadtest/locust/locustfile.py --host http://…
"""

import logging
import random
import time
from argparse import ArgumentTypeError
from typing import Any

import gevent
from crowd import SETTLE, SETTLED, Crowd
from levels import Levels
from locust import events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from scene import SceneError
from storm_user import StormUser

log = logging.getLogger("storm")
_COULD_NOT_RUN = 2


class SteadyChat(StormUser):
    """Everybody says something now and then: little to the hall, more to rooms and small rooms."""

    weight = 7

    @task
    def say(self) -> None:
        self.speak()


class HotRoom(StormUser):
    """Most of it in one room, by those who are in it."""

    weight = 1

    def room_of(self, rooms: int) -> int:
        return 0

    def place(self) -> int:
        is_hot = random.random() < self.shared.options.hot_share  # noqa: S311
        return self.room if is_hot else super().place()

    @task
    def say(self) -> None:
        self.speak()


class ReconnectStorm(StormUser):
    """Chats; and every `--storm-every` seconds all of them go at once, and come back within
    `--storm-within`.
    """

    weight = 1

    def on_start(self) -> None:
        super().on_start()
        self._storms = self._storms_so_far()

    def _storms_so_far(self) -> int:
        # By the clock: all go together, in every process.
        return int(time.time() / self.shared.options.storm_every)

    def wait_time(self) -> float:
        to_storm = (self._storms + 1) * self.shared.options.storm_every - time.time()
        return max(0.0, min(super().wait_time(), float(to_storm)))

    @task
    def say(self) -> None:
        if self._storms_so_far() > self._storms:
            self._storms = self._storms_so_far()
            if self.shared.talking:
                self.leave(random.random() * self.shared.options.storm_within)  # noqa: S311
        if time.time() >= self.next_due:
            self.speak()


class SlowReader(StormUser):
    """Says nothing, and reads nothing for `--slow-seconds` out of twice that. The server may close
    it with 4001; then it comes back and resumes. Its times are no service level, its losses are.
    """

    weight = 1
    # As little as the kernel gives, so that the server notices at a small scale, too.
    receive_buffer = 4_096

    def wait_time(self) -> float:
        return float(self.shared.options.slow_seconds)

    @task
    def rest(self) -> None:
        if self._running.is_set() and self.shared.talking:
            self.freeze()
        else:
            self.thaw()


# --- what can be set, on the command line and (most of it) on the page ---


def _above_zero(text: str) -> float:
    if (value := float(text)) > 0:
        return value
    raise ArgumentTypeError(f"{text} should be above 0")


def _count(text: str) -> int:
    if (value := int(text)) > 0:
        return value
    raise ArgumentTypeError(f"{text} should be 1 or more")


def _share(text: str) -> float:
    if 0 <= (value := float(text)) <= 1:
        return value
    raise ArgumentTypeError(f"{text} should be from 0 to 1")


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("STORM")

    def add(name: str, kind: Any, default: float, about: str) -> None:
        group.add_argument(name, type=kind, default=default, help=f"{about}; default: {default:g}")

    add("--say-every", _above_zero, 5.0, "seconds between two messages of a user, on average")
    add("--hall-share", _share, 0.01, "part of the messages that goes to the hall")
    add("--room-share", _share, 0.19, "part that goes to a room; the rest goes to small rooms")
    add("--hot-share", _share, 0.8, "HotRoom: part that goes to the hot room")
    add("--storm-every", _above_zero, 15.0, "ReconnectStorm: seconds between two storms")
    add("--storm-within", _above_zero, 5.0, "ReconnectStorm: all are back within so many seconds")
    add("--slow-seconds", _above_zero, 5.0, "SlowReader: seconds without reading")
    add("--rooms", _count, 5, "rooms; user i is in room i mod so many")
    add("--small-rooms", _count, 50, "rooms of ten users")
    add("--settle", _above_zero, 10.0, "at the end, what is late by so many seconds is not lost")
    add("--connect-p95", _above_zero, 200.0, "service level, milliseconds")
    add("--ack-p95", _above_zero, 200.0, "service level, milliseconds")
    add("--delivery-p95", _above_zero, 200.0, "service level, milliseconds")
    add("--errors", _share, 0.001, "service level, share of handshakes and messages")
    group.add_argument("--scene", default="locust", help="what users and channels are called")
    group.add_argument(
        "--skip-one",
        action="store_true",
        help="one user forgets one message on purpose: shows that the check can fail",
    )


# --- the course ---


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Environment, **_: Any) -> None:
    # The master has no users, but is the first, so it makes the channels.
    environment.process_exit_code = None
    StormUser.crowd = None
    try:
        StormUser.crowd = Crowd(environment)
    except SceneError as error:
        log.error("could not run: %s", error)  # noqa: TRY400 it is for people
        environment.process_exit_code = _COULD_NOT_RUN
        if environment.web_ui is None and environment.runner is not None:
            gevent.spawn(environment.runner.quit)


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def _settle(environment: Environment, **_: Any) -> None:
    crowd = StormUser.crowd
    if crowd is None:
        return
    if isinstance(environment.runner, MasterRunner):
        crowd.settle_workers(environment.runner)
    else:
        crowd.settle()


@events.init.add_listener  # type: ignore[untyped-decorator]
def _listen(environment: Environment, **_: Any) -> None:
    runner = environment.runner

    def settle(**_: Any) -> None:
        if StormUser.crowd is not None:
            StormUser.crowd.settle()
        assert runner is not None  # noqa: S101 it has called
        runner.send_message(SETTLED)

    def settled(**_: Any) -> None:
        if StormUser.crowd is not None:
            StormUser.crowd.reports += 1

    if isinstance(runner, WorkerRunner):
        runner.register_message(SETTLE, settle, concurrent=True)
    elif isinstance(runner, MasterRunner):
        runner.register_message(SETTLED, settled)


def _judge(environment: Environment) -> bool:
    """Say what was found; whether the service levels were met."""
    given = environment.parsed_options
    assert given is not None  # noqa: S101 Locust's command line always gives them
    limits = {kind: getattr(given, f"{kind}_p95") for kind in ("connect", "ack", "delivery")}
    levels = Levels(environment.stats, {**limits, "errors": given.errors})
    log.info("figures: %s", levels.line())
    misses = levels.misses()
    if StormUser.crowd is not None and StormUser.crowd.unproven:
        misses.append("lost: a worker did not tell at the end, so nothing is proven")
    for miss in misses:
        log.error("missed: %s", miss)
    log.info("failed" if misses else "passed")
    return not misses


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def _tell(environment: Environment, **_: Any) -> None:
    # On the page, tests follow each other; without it, the end comes at once.
    if environment.web_ui is not None and StormUser.crowd is not None:
        _judge(environment)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _verdict(environment: Environment, **_: Any) -> None:
    """Only now the master has what all workers counted."""
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = 0  # the master judges
        return
    if StormUser.crowd is not None:  # otherwise nothing was started
        environment.process_exit_code = 0 if _judge(environment) else 1
