"""The report: one table for all runs, then each run with its figures, faults and plot."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from storm_gateway.audit.plot import HOW_TO_PLOT, can_plot, plot
from storm_gateway.audit.result import Result
from storm_gateway.audit.times import Repair, Spread

_HEAD = (
    "scenario",
    "result",
    "acknowledged",
    "lost",
    "duplicated",
    "out of order",
    "phantom",
    "longest without an ack",
    "time to repair",
    "in time",
    "clients back (p95)",
)


def write_report(
    results: Sequence[Result],
    environment: Mapping[str, str],
    folder: Path,
    *,
    asked: int = 0,
    drawn: int = 0,
) -> Path:
    """Write ``report.md``, ``results.json`` and the plots; gives the path of the report.

    ``asked``: how many runs there are to be; while there are fewer, the report says so. ``drawn``:
    how many of the results have their plot already, since the report was written before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with_plots = can_plot()
    for result in results[drawn:]:
        if with_plots and result.series is not None:
            plot(result, folder / f"{result.name}.png")
    lines = ["# STORM audit", ""]
    if len(results) < asked:
        lines += [f"**Not all**: {len(results)} of {asked} runs are over.", ""]
    lines += [verdict_line(results), "", *summary(results), ""]
    if not with_plots:
        lines += [HOW_TO_PLOT, ""]
    lines += ["## Environment", "", *_table(("", ""), environment.items()), ""]
    for result in results:
        lines += _section(result, with_plots)
    path = folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    document = {"environment": dict(environment), "results": [_plain(each) for each in results]}
    (folder / "results.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(document), indent=1)
    )
    return path


def verdict_line(results: Sequence[Result]) -> str:
    """All in one sentence."""
    failed = [result.name for result in results if not result.passed]
    skipped = sum(bool(result.skipped) for result in results)
    ran = len(results) - skipped
    also = f" {skipped} could not be run here." if skipped else ""
    if failed:
        return f"**FAILED**: {len(failed)} of {ran} runs ({', '.join(failed)}).{also}"
    if not ran:
        return f"Nothing was run.{also}"
    acked = sum(result.verdict.acknowledged for result in results)
    return (
        f"**Passed**: {ran} run{'s' if ran > 1 else ''}, {acked:,} messages acknowledged; none "
        f"lost, duplicated, out of order or phantom.{also}"
    )


def summary(results: Sequence[Result]) -> list[str]:
    """The table of all runs, as Markdown."""
    rows = []
    for result in results:
        name = f"{result.name} ({result.reference})" if result.reference else result.name
        if result.skipped:
            rows.append((name, f"skipped: {result.skipped}", *[""] * (len(_HEAD) - 2)))
            continue
        verdict = result.verdict
        rows.append(
            (
                name,
                "passed" if result.passed else "**FAILED**",
                f"{verdict.acknowledged:,}",
                *map(
                    str, (verdict.lost, verdict.duplicated, verdict.out_of_order, verdict.phantom)
                ),
                _seconds(result.unavailable),
                _seconds(result.repaired),
                _percent(result.in_time),
                _seconds(result.back),
            )
        )
    return _table(_HEAD, rows)


def _section(result: Result, with_plot: bool) -> list[str]:
    reference = f" ({result.reference})" if result.reference else ""
    lines = [f"## {result.name}{reference}", "", result.title + ".", ""]
    if result.skipped:
        return [*lines, f"Not run: {result.skipped}.", ""]
    if result.failed or result.verdict.examples:
        lines += ["What is wrong:", ""]
        lines += [f"- {each}" for each in (*result.failed, *result.verdict.examples)]
        lines.append("")
    if with_plot and result.series is not None:
        lines += [f"![acks and deliveries over time]({result.name}.png)", ""]
    lines += _table(("figure", "value"), _figures(result).items())
    if result.repairs:
        lines += ["", "Faults (seconds since sending began):", "", *_faults(result.repairs)]
    if result.notes:
        lines += ["", *(f"- {at:.1f} s: {text}" for at, text in result.notes)]
    lines += ["", "What clients met:", "", *_table(("", ""), _counts(result).items())]
    lines += ["", "Settings:", "", *_table(("", ""), sorted(result.settings.items())), ""]
    return lines


def _figures(result: Result) -> dict[str, str]:
    verdict = result.verdict
    figures = {
        "attempt": f"{verdict.attempts:,}",
        "acknowledged": f"{verdict.acknowledged:,}",
        "refused for good": f"{verdict.refused:,}",
        "unknown at the end": f"{verdict.unknown:,}",
        "stored": f"{verdict.stored:,}",
        "delivered": f"{verdict.delivered:,}",
        "**lost**": f"{verdict.lost:,}",
        "**duplicated**": f"{verdict.duplicated:,}",
        "**out of order**": f"{verdict.out_of_order:,}",
        "**phantom**": f"{verdict.phantom:,}",
        "told differently by history pages and store": f"{verdict.disagreements:,}",
        "repeats after a resume (dropped by clients)": f"{verdict.repeats:,}",
        "longest time without any ack": f"{_seconds(result.unavailable)} "
        f"(from {result.silence.begin:.1f} s on)",
        "the same in one channel": _seconds(result.channel_silence.seconds),
        "time of sending": f"{result.seconds:.1f} s",
    }
    if result.latencies is not None:
        figures["send to ack, without fault"] = _spread(result.latencies.acks)
        figures["send to delivery, without fault"] = _spread(result.latencies.deliveries)
    return figures | result.figures


def _faults(repairs: Sequence[Repair]) -> list[str]:
    head = (
        "fault",
        "begin",
        "end",
        "repair p50",
        "p95",
        "all",
        "in time",
        "clients back p95",
        "all",
    )
    rows = []
    for repair in repairs:
        fault, late, back = repair.fault, repair.late, repair.back
        rows.append(
            (
                f"{fault.title}{f' ({fault.node})' if fault.node else ''}",
                f"{fault.begin:.1f}",
                "" if fault.end is None else f"{fault.end:.1f}",
                *map(_seconds, (late.p50, late.p95, late.most)),
                _percent(repair.share_in_time),
                *(
                    (_seconds(back.p95), f"{_seconds(back.most)} ({back.count})")
                    if back.count
                    else ("", "")
                ),
            )
        )
    return _table(head, rows)


def _counts(result: Result) -> dict[str, str]:
    return {
        name: ", ".join(f"{key}: {count}" for key, count in value.items()) or "none"
        if isinstance(value, dict)
        else str(value)
        for name, value in result.counts.items()
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return lines + ["| " + " | ".join(row) + " |" for row in cells]


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    # 99.96 % must not read as 100 %.
    return f"{int(share * 10_000) / 100:g} %"


def _spread(spread: Spread) -> str:
    return (
        f"p50 {_seconds(spread.p50)}, p95 {_seconds(spread.p95)}, p99 {_seconds(spread.p99)}, "
        f"all {_seconds(spread.most)} ({spread.count:,})"
    )


def _plain(result: Result) -> dict[str, object]:
    """For programs."""
    plain: dict[str, object] = msgspec.to_builtins(result)
    return {**plain, "passed": result.passed}
