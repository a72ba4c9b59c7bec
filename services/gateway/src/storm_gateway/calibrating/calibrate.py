"""A calibration from start to end: servers and nodes started, measured, and ended again."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from storm_gateway.calibrating import alone, machine, with_servers
from storm_gateway.calibrating.meter import can_measure
from storm_gateway.calibrating.size import FULL, QUICK, TOTAL_SECONDS, Clock, Size, within_files
from storm_gateway.capacity.calibration import VERSION, Calibration, Servers
from storm_gateway.capacity.errors import CapacityError
from storm_gateway.stack.errors import StackError
from storm_gateway.stack.programs import missing
from storm_gateway.stack.stack import Stack
from storm_gateway.version import VERSION as STORM

_SERVERS_SECONDS = 5.0
"""What nodes with servers take at least, with their start."""

Tell = Callable[[str], None]


async def calibrate(folder: Path, tell: Tell, *, quick: bool = False) -> tuple[Calibration, str]:
    """Measure this machine, for :data:`TOTAL_SECONDS` at most, in an empty folder. Gives why there
    are no figures with servers, too; empty: there are. ``tell`` hears what is being done. Raises
    :class:`CapacityError`.
    """
    if not can_measure():
        raise CapacityError(
            "this system does not say what a process uses (no /proc): "
            "say --reference, or --calibration with a file from the machine that will run STORM"
        )
    clock, load = Clock(), machine.load()
    size = within_files(QUICK if quick else FULL)
    why = _why_no_servers(size)
    embedded = Stack(folder / "alone", nodes=1, settings=alone.SETTINGS, embedded=True)
    stack = None if why else Stack(folder / "servers", nodes=2, settings=alone.SETTINGS)
    begun: list[asyncio.Task[None]] = []
    try:
        if stack is not None:
            # Beside the node's own start: nothing is measured meanwhile.
            begun.append(asyncio.create_task(_in_thread(stack.start_servers, tell=None)))
        found = await _alone(embedded, size, clock, tell)
        servers: Servers | None = None
        if stack is not None:
            servers, why = await _with_servers(stack, begun[0], size, clock, tell)
        tell("ending")
    finally:
        await _end([embedded, *([stack] if stack else [])], begun)
    return _calibration(found, servers, clock.spent, load, quick=quick), why


async def _alone(embedded: Stack, size: Size, clock: Clock, tell: Tell) -> alone.Alone:
    try:
        async with asyncio.timeout(clock.left):
            tell("a node starts")
            await _in_thread(embedded.start)
            found = await alone.measure(embedded.nodes[0], embedded.secret, size, tell)
    except TimeoutError:
        raise CapacityError(
            f"this machine could not be measured in {TOTAL_SECONDS:g} s: it is too busy, or too "
            "slow. Try again, or say --quick, or --reference"
        ) from None
    except (StackError, OSError) as error:
        raise CapacityError(f"no node could be measured: {error}") from None
    embedded.hurry()
    return found


async def _with_servers(
    stack: Stack, begun: "asyncio.Task[None]", size: Size, clock: Clock, tell: Tell
) -> tuple[Servers | None, str]:
    """None, and why, when they cannot be had."""
    late = f"there was no time left of {TOTAL_SECONDS:g} s"
    if clock.left < _SERVERS_SECONDS:
        return None, late
    try:
        async with asyncio.timeout(clock.left):
            tell("NATS, Valkey, PostgreSQL and two nodes start")
            await asyncio.shield(begun)
            await _in_thread(stack.start_nodes)
            return await with_servers.measure(stack, size, tell), ""
    except TimeoutError:
        return None, late
    except (StackError, CapacityError, OSError) as error:
        return None, str(error).splitlines()[0]


def _why_no_servers(size: Size) -> str:
    if not size.servers:
        return "--quick leaves them out"
    absent = missing()
    if absent:
        return f"there is no {', no '.join(absent)} here: pip install 'storm-gateway[stack]'"
    return ""


async def _in_thread(work: Callable[..., None], **arguments: object) -> None:
    """Like :func:`asyncio.to_thread`, in a thread that a program need not wait for at its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error = None
        try:
            work(**arguments)
        except BaseException as raised:  # noqa: BLE001 it is raised where it is waited for
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, daemon=True).start()
    await done


async def _end(stacks: list[Stack], begun: "list[asyncio.Task[None]]") -> None:
    """Nothing is to be kept, so all of it ends at once."""
    for stack in stacks:
        stack.hurry()
    await asyncio.gather(*(asyncio.to_thread(stack.stop) for stack in stacks))
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)


def _calibration(
    found: alone.Alone, servers: Servers | None, seconds: float, load: float, *, quick: bool
) -> Calibration:
    values = msgspec.structs.asdict(found)
    messages = values.pop("messages")
    return Calibration(
        **values,
        version=VERSION,
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine.name(),
        storm=STORM,
        seconds=round(seconds, 1),
        load=round(load, 1),
        quick=quick,
        message_seconds=messages.message["node"],
        commit_seconds=messages.commit["node"],
        commit_wall_seconds=messages.wall_seconds,
        messages_per_second=messages.per_second,
        servers=servers,
    )
