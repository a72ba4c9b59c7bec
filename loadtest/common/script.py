"""What the entry scripts have in common: options, the last word, the exit status."""

import argparse
import sys
from collections.abc import Callable, Sequence

from common.paths import REPORTS
from common.progress import say


def make_parser(about: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with ``about``, the script's own docstring, as it is written."""
    return argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_report(parser: argparse.ArgumentParser, name: str) -> None:
    """The option ``--report``, which writes the file ``name``."""
    parser.add_argument(
        "--report", action="store_true", help=f"write the figures to {REPORTS.name}/{name}"
    )


def finish(faults: Sequence[str]) -> int:
    """Say how it ended; returns the exit status."""
    say("failed" if faults else "passed")
    return 1 if faults else 0


def leave_with(
    main: Callable[[list[str]], int], could_not_run: tuple[type[Exception], ...]
) -> None:
    """Run ``main`` and exit with its status, or with 2 after one of the errors named."""
    try:
        sys.exit(main(sys.argv[1:]))
    except could_not_run as error:
        say(f"broken off: {error or type(error).__name__}")
        sys.exit(2)
