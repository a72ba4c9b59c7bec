"""``storm audit``: prove that nothing is lost."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_gateway.cli.common import FAILED, INTERRUPTED, fail, quiet_logging, say, tell
from storm_gateway.observability.text import escape_control

if TYPE_CHECKING:
    from storm_gateway.audit.result import Result
    from storm_gateway.audit.run import Options
    from storm_gateway.audit.scenario import Scenario

_USAGE = 2
_GROUPS = "all, short or list"


def audit(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help=f"A fault by its name; several times for several; {_GROUPS}."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long messages are sent, at least.")
    ] = None,
    senders: Annotated[int | None, typer.Option(min=1, help="Clients who send.")] = None,
    receivers: Annotated[int | None, typer.Option(min=1, help="Clients who receive.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Channels they use.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Messages a second, all senders together.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes of the own stack.")] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="One node on SQLite, instead of a stack.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything that is random.")] = 1,
    report: Annotated[
        Path | None, typer.Option(help="Folder for the report, its plots and its figures.")
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="A node that runs already, http://host:port; several times for several."),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="File with the secret of those nodes; else STORM_JWT_SECRET."),
    ] = None,
) -> None:
    """Send numbered messages over all nodes while faults happen, and prove that none is lost.

    Without a scenario, nothing fails on purpose. Without --url it starts servers and nodes of its
    own. Exit status 0: nothing lost, duplicated, out of order or phantom; 1: something was; 2: it
    could not be run.
    """
    import uvloop

    from storm_gateway.audit.run import Options, RunError
    from storm_gateway.config import Config

    options = Options(seconds, senders, receivers, channels, rate, nodes, seed)
    kinds = _kinds(scenario or [], embedded)
    if kinds is None:
        return
    if url and (scenario or embedded or nodes):
        fail(
            "--url is for nodes that run already: leave out --scenario, --embedded, --nodes", _USAGE
        )
    quiet_logging(Config())
    folder = Path(tempfile.mkdtemp(prefix="storm-audit-"))
    results: list[Result] = []
    try:
        if url:
            work = _against([each.rstrip("/") for each in url], _secret(secret_file), options)
        else:
            work = _all([kind() for kind in kinds], folder, options, report, results)
        results = uvloop.run(_until_told(work))
    except RunError as error:
        # With the last words of a server, a line each.
        for line in f"storm: {error}".splitlines():
            tell(escape_control(line))
        raise typer.Exit(_USAGE) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        if results:
            tell(f"broken off after {len(results)} of {len(kinds)} runs")
            if report is not None:
                tell(f"report of these: {report / 'report.md'}")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _conclude(results, report, drawn=0 if url else len(results))


def _kinds(names: list[str], embedded: bool) -> "list[type[Scenario]] | None":
    """The scenarios that were asked for; None: they were listed instead."""
    from storm_gateway.audit.scenario import Plain, scenarios

    class Embedded(Plain):
        title = "No fault, one node on the embedded default"
        embedded = True

    known = scenarios()
    if "list" in names:
        width = max((len(name) for name in known), default=0)
        for name, kind in known.items():
            length = "short" if kind.short else ""
            say(f"{name:<{width}}  {kind.reference:<4} {length:<6} {kind.title}")
        return None
    if not names:
        return [Embedded if embedded else Plain]
    found: dict[str, type[Scenario]] = {}
    for name in names:
        if name in ("all", "short"):
            found |= {each: kind for each, kind in known.items() if name == "all" or kind.short}
        elif name in known:
            found[name] = known[name]
        else:
            fail(f"there is no scenario {name!r}; 'storm audit --scenario list' shows them", _USAGE)
    if not found:
        fail("no scenario is known", _USAGE)
    return list(found.values())


def _secret(path: Path | None) -> str:
    try:
        secret = path.read_text().strip() if path else os.environ.get("STORM_JWT_SECRET", "")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"the secret cannot be read: {error}", _USAGE)
    if not secret:
        fail(
            "the nodes' secret is needed: say --secret-file (of one node it is the file 'secret' "
            "in its data folder), or set STORM_JWT_SECRET",
            _USAGE,
        )
    return secret


async def _until_told(work: "Coroutine[None, None, list[Result]]") -> "list[Result]":
    """SIGTERM ends it as Ctrl-C does, which a shell's background jobs ignore: servers, networks
    and small disks are taken away.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 it is one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


async def _all(
    found: "list[Scenario]",
    folder: Path,
    options: "Options",
    report: Path | None,
    results: "list[Result]",
) -> "list[Result]":
    """Fills ``results``, and gives them."""
    from storm_gateway.audit.environment import environment
    from storm_gateway.audit.report import write_report
    from storm_gateway.audit.result import Result
    from storm_gateway.audit.run import RunError, State, run_scenario, watch

    where = environment() if report is not None else {}
    for each in found:
        tell(f"{each.name}: {each.title}")
        state = State()
        watching = asyncio.create_task(watch(state, tell))
        place = folder / each.name
        try:
            result = await run_scenario(each, place, options, state)
        except RunError as error:
            _keep_logs(place, each.name, report)
            if len(found) == 1:
                raise
            # The others may still tell something.
            result = Result(each.name, each.title, each.reference, failed=[str(error)])
        finally:
            watching.cancel()
        if not result.passed:
            _keep_logs(place, each.name, report)
        shutil.rmtree(place, ignore_errors=True)
        results.append(result)
        _tell_result(result)
        if report is not None:
            # After each: an hour of them may be broken off.
            write_report(results, where, report, asked=len(found), drawn=len(results) - 1)
    return results


async def _against(urls: list[str], secret: str, options: "Options") -> "list[Result]":
    from storm_gateway.audit.run import State, run_against, watch

    state = State()
    watching = asyncio.create_task(watch(state, tell))
    try:
        # Of the environment, as the nodes have it; without it, history pages alone are read.
        database = os.environ.get("STORM_DATABASE_URL", "")
        result = await run_against(urls, secret, database, options, state)
    finally:
        watching.cancel()
    _tell_result(result)
    return [result]


def _keep_logs(stack: Path, name: str, report: Path | None) -> None:
    """What servers and nodes had to say, for finding out what went wrong."""
    if report is not None:
        logs = report / f"{name}-logs"
        logs.mkdir(parents=True, exist_ok=True)
        for path in stack.rglob("*.log"):
            shutil.copy(path, logs / f"{path.parent.name}-{path.name}")


def _tell_result(result: "Result") -> None:
    if result.skipped:
        tell(f"{result.name}: not run: {result.skipped}")
        return
    verdict = result.verdict
    tell(
        f"{result.name}: {'passed' if result.passed else 'FAILED'}: "
        f"{verdict.acknowledged} acknowledged, {verdict.delivered} delivered, "
        f"{verdict.lost} lost, {verdict.duplicated} duplicated, "
        f"{verdict.out_of_order} out of order, {verdict.phantom} phantom; "
        f"{result.unavailable:.1f} s without an ack at most"
    )
    for sentence in (*result.failed, *verdict.examples):
        tell(f"  {sentence}")


def _conclude(results: "list[Result]", report: Path | None, *, drawn: int) -> None:
    from storm_gateway.audit.environment import environment
    from storm_gateway.audit.report import summary, verdict_line, write_report

    for line in summary(results):
        say(line)
    say(verdict_line(results).replace("**", ""))
    if report is not None:
        say(f"report: {write_report(results, environment(), report, drawn=drawn)}")
    if not all(result.passed for result in results) or all(each.skipped for each in results):
        raise typer.Exit(FAILED)
