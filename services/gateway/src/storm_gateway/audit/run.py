"""One run: servers, clients, a scenario, and what it all came to."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm_gateway.audit.arena import Arena, ScenarioError
from storm_gateway.audit.ledger import ACKED, Ledger, Stored
from storm_gateway.audit.load import OWNER, Load, LoadError
from storm_gateway.audit.reading import disagreements, read_pages, read_store
from storm_gateway.audit.result import Result, Series
from storm_gateway.audit.scenario import LoadPlan, Scenario
from storm_gateway.audit.texts import Texts
from storm_gateway.audit.timeline import Clock, Timeline
from storm_gateway.audit.times import latencies, per_second, repairs, silence
from storm_gateway.audit.verdict import judge
from storm_gateway.config import Config
from storm_gateway.errors import StormError

if TYPE_CHECKING:
    from storm_gateway.stack.stack import Stack

SETTLE_SECONDS = 30.0
"""How long after the last send everyone has to catch up."""
_STEP_SECONDS = 0.25
_LEAST_ACKS = 20
_LEAST_SHARE = 0.1
"""Of all attempts, acknowledged at least: else the run proves little."""

SETTINGS = {
    # What a run does in seconds, people do in minutes.
    "STORM_COMMANDS_PER_SECOND": "1000",
    "STORM_COMMANDS_BURST": "2000",
    "STORM_HEARTBEAT_SECONDS": "2",
    "STORM_DRAIN_SECONDS": "5",
}
"""Of the nodes of an audit's own stack, beside those of the scenario."""


@dataclass(slots=True)
class Options:
    """What a run is asked to do; None: as the scenario has it."""

    seconds: float | None = None
    senders: int | None = None
    receivers: int | None = None
    channels: int | None = None
    rate: float | None = None
    nodes: int | None = None
    seed: int = 1
    settle_seconds: float = SETTLE_SECONDS

    def plan(self, plan: LoadPlan) -> LoadPlan:
        """The load of a scenario with what was asked for."""
        asked: dict[str, Any] = {
            "senders": self.senders,
            "receivers": self.receivers,
            "channels": self.channels,
            "rate": self.rate,
        }
        return replace(plan, **{name: value for name, value in asked.items() if value is not None})


@dataclass(slots=True)
class State:
    """What somebody who watches a run may look at."""

    load: Load | None = None
    timeline: Timeline | None = None
    phase: str = "starting"


class RunError(Exception):
    """The run could not begin; the message says why."""


async def run_scenario(scenario: Scenario, folder: Path, options: Options, state: State) -> Result:
    """On a stack of its own under ``folder``. Raises :class:`RunError` when that does not start."""
    from storm_gateway.stack.errors import StackError
    from storm_gateway.stack.stack import Stack

    result = Result(scenario.name, scenario.title, scenario.reference)
    if missing := scenario.missing():
        result.skipped = missing
        return result
    nodes = 1 if scenario.embedded else options.nodes or scenario.nodes
    settings = {**SETTINGS, **scenario.settings}
    stack = scenario.make_stack(
        Stack(folder, nodes=nodes, settings=settings, embedded=scenario.embedded)
    )
    try:
        await asyncio.to_thread(stack.start)
        clock = Clock()
        load = _make_load(
            options.plan(scenario.load), list(scenario.urls(stack)), stack.secret, clock, options
        )
        arena = Arena(stack, load, clock, options.seed)
        await _run(arena, scenario, options, state, result, _config_of(stack))
    except (StackError, LoadError) as error:
        raise RunError(f"{scenario.name}: {error}") from None
    finally:
        state.phase = "stopping"
        await asyncio.to_thread(stack.stop)
        await scenario.clean(folder)
    return result


async def run_against(
    urls: list[str], secret: str, database_url: str, options: Options, state: State
) -> Result:
    """Against nodes that run already: no faults. Raises :class:`RunError`."""
    result = Result("plain", "Nodes that run already, without a fault")
    clock = Clock()
    load = _make_load(options.plan(LoadPlan()), urls, secret, clock, options)
    seconds = options.seconds if options.seconds is not None else Scenario.seconds
    timeline = Timeline()
    config = Config(database_url=database_url) if database_url else None
    try:
        await _drive(load, timeline, seconds, options, state, result, None)
        await _conclude(load, timeline, options, result, config)
    except LoadError as error:
        raise RunError(str(error)) from None
    finally:
        await load.end()
        await load.rest.__aexit__(None, None, None)
    return result


def _make_load(
    plan: LoadPlan, urls: list[str], secret: str, clock: Clock, options: Options
) -> Load:
    run = f"a{secrets.token_hex(3)}"
    ledger = Ledger(Texts(run, plan.payload_characters))
    return Load(
        plan, urls=urls, secret=secret, run=run, ledger=ledger, clock=clock, seed=options.seed
    )


def _config_of(stack: "Stack") -> Config:
    """Of the database that the nodes use."""
    if stack.embedded:
        return Config(data_dir=stack.nodes[0].folder / "data", database_url="")
    return Config(database_url=stack.settings["STORM_DATABASE_URL"])


async def _run(
    arena: Arena,
    scenario: Scenario,
    options: Options,
    state: State,
    result: Result,
    config: Config,
) -> None:
    load, seconds = arena.load, scenario.seconds if options.seconds is None else options.seconds
    result.settings = dict(scenario.settings)
    try:
        await _drive(load, arena.timeline, seconds, options, state, result, (arena, scenario))
        if scenario.expects_fault and not arena.timeline.faults:
            result.failed.append("the fault did not happen")
        await _conclude(load, arena.timeline, options, result, config)
        # Clients may know fewer addresses than there are nodes: a proxy's.
        result.settings["nodes"] = str(len(arena.stack.nodes))
        died = await asyncio.to_thread(arena.stack.died)
        if died:
            result.failed.append(f"a process ended by itself: {died}")
    finally:
        await load.end()
        await load.rest.__aexit__(None, None, None)
        result.failed += arena.broken
        result.figures |= arena.figures
    limit = scenario.unavailable_seconds
    if limit is not None and result.unavailable > limit:
        result.failed.append(
            f"no message was acknowledged for {result.unavailable:.1f} s; {limit:g} s are allowed"
        )


async def _drive(
    load: Load,
    timeline: Timeline,
    seconds: float,
    options: Options,
    state: State,
    result: Result,
    harm: tuple[Arena, Scenario] | None,
) -> None:
    """From the first connection until everyone has everything."""
    state.load, state.timeline, state.phase = load, timeline, "connecting"
    await load.begin()
    if harm is not None:
        await _step(result, harm[1].before(harm[0]))
    state.phase = "sending"
    load.start_sending()
    work = [asyncio.ensure_future(asyncio.sleep(seconds))]
    if harm is not None:
        work.append(asyncio.ensure_future(_step(result, harm[1].run(harm[0]))))
    try:
        await asyncio.gather(*work)
    finally:
        for each in work:
            each.cancel()
        load.stop_sending()
    state.phase = "catching up"
    await load.settle(options.settle_seconds)
    if harm is not None:
        await _step(result, harm[1].after(harm[0]))


async def _step(result: Result, work: object) -> None:
    """A part of a scenario; what it raises makes the run fail, and the verdict is still found."""
    from storm_gateway.stack.errors import StackError

    try:
        await work  # type: ignore[misc]
    except (ScenarioError, StackError, OSError) as error:
        result.failed.append(f"the scenario broke off: {error}")


async def _conclude(
    load: Load, timeline: Timeline, options: Options, result: Result, config: Config | None
) -> None:
    """Read the store, judge, and put all figures into the result."""
    ledger, plan = load.ledger, load.plan
    user_id = f"{load.run}-{OWNER}"
    differing: list[str] = []
    stored = Stored({})
    try:
        stored = await read_pages(ledger, load.rest, user_id, load.channels)
        if config is not None:
            pages, stored = stored, await read_store(ledger, config, load.channels)
            differing = disagreements(pages, stored)
    except (OSError, StormError) as error:
        result.failed.append(f"the store could not be read: {error}")
    verdict = result.verdict = judge(ledger, stored)
    for sentence in differing:
        verdict.add("disagreements", sentence)
    begin, end = load.began_at, load.ended_at
    result.seconds = end - begin
    last = max(end, *ledger.received_at[-1:], begin + _STEP_SECONDS)
    acks = [at for number, at in enumerate(ledger.acked_at) if ledger.state[number] == ACKED]
    result.series = Series(
        _STEP_SECONDS,
        per_second(acks, begin, last, _STEP_SECONDS),
        per_second(ledger.received_at, begin, last, _STEP_SECONDS),
        per_second(ledger.tried_at, begin, last, _STEP_SECONDS),
    )
    result.silence = silence(ledger, begin, end)
    result.channel_silence = max(
        (silence(ledger, begin, end, channel) for channel in load.channels),
        key=lambda each: each.seconds,
    )
    result.latencies = latencies(ledger, timeline.faults)
    result.repairs = repairs(ledger, timeline.faults, load.returns, plan.delivery_seconds)
    for fault in timeline.faults:
        fault.begin -= begin
        if fault.end is not None:
            fault.end -= begin
    result.silence.begin -= begin
    result.channel_silence.begin -= begin
    result.notes = [(at - begin, text) for at, text in timeline.notes]
    result.counts = _counts(load)
    result.settings |= {
        "senders": str(plan.senders),
        "receivers": str(plan.receivers),
        "channels": f"{plan.channels} ({len(load.private)} private)",
        "channels of each client": str(plan.subscriptions),
        "messages a second": f"{plan.rate:g}",
        "nodes": str(len(load.urls)),
        "seed": str(options.seed),
    }
    _did_something(load, verdict.acknowledged, result)


def _counts(load: Load) -> dict[str, object]:
    return {
        "connections lost and back": len(load.returns),
        "close codes": {str(code): count for code, count in sorted(load.closes.items())},
        "connections that could not be opened": dict(load.tries.most_common(5)),
        "errors answered, and tried again": dict(load.errors),
        "messages refused for good": dict(load.ledger.refusals),
        "messages of unknown outcome, all resolved by retries": load.retried,
        "acks that came again": load.repeated_acks,
        "sent again for want of an answer": load.unanswered,
        "holes that a client saw and asked for": load.holes,
        "resumes because a heartbeat told of more": load.healed,
        "gaps filled from history pages": load.gaps,
        "outsiders refused": load.refused_outsiders,
    }


def _did_something(load: Load, acknowledged: int, result: Result) -> None:
    """A run in which nothing happens would be green."""
    failed = result.failed
    least = max(_LEAST_ACKS, int(_LEAST_SHARE * load.ledger.attempts))
    if acknowledged < least:
        failed.append(f"only {acknowledged} messages were acknowledged; {least} prove something")
    if not load.delivered:
        failed.append("nothing was delivered to anybody")
    if load.connected < load.clients:
        failed.append(f"only {load.connected} of {load.clients} clients were back at the end")
    outsiders = sum(receiver.outsider for receiver in load.receivers)
    if load.refused_outsiders < outsiders:
        failed.append("outsiders were not refused")
    failed += load.troubles


async def watch(state: State, tell: Callable[[str], None]) -> None:
    """A line a second, until cancelled."""
    acked = delivered = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(1)
            load = state.load
            if load is None:
                continue
            fault = state.timeline.present if state.timeline is not None else ""
            tell(
                f"{state.phase:<11} {load.clock() - load.began_at if load.began_at else 0:5.0f} s  "
                f"{load.acked - acked:6} acks/s  {load.delivered - delivered:7} deliveries/s  "
                f"{load.connected:5}/{load.clients} connected  {load.outstanding:5} outstanding"
                f"{'  ' + fault.upper() if fault else ''}"
            )
            acked, delivered = load.acked, load.delivered
