"""What holds for every test: settings come from the test alone, never from the machine, and no
test finds the logging that another one configured. The longest tests come first, so that no
process is left alone with them at the end. What fails is named at once, as a
whole run takes minutes.
"""

import logging
import os
import signal
from collections.abc import Iterator

import pytest
import structlog

for _name in [name for name in os.environ if name.startswith("STORM_")]:
    # At import, before anything of ours is: fixtures and subprocesses see it gone, too.
    del os.environ[_name]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So begins what a shell starts in the background, and hands it on to the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = (
    "test_audit",
    "test_up",
    "test_image",
    "test_release",
    "test_workers",
    "test_api_schema",
    "test_epoch",
)
"""Modules that start whole stacks, or try very many things."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorting is stable: the rest stays in its order."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


class AtOnce:
    """Names each test that fails while the others still run."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.terminal.write_line("")
            self.terminal.write_line(f"failed ({report.when}): {report.nodeid}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Of the process that shows what comes, which knows the reports of all."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(AtOnce(terminal))


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands configure the logs of their process; here that process is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logger.level
        for name, logger in logging.Logger.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    # pytest puts handlers of its own on the root logger for each phase of a test; they go by
    # themselves, so only those that a test added or took away are looked at.
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            logger.setLevel(levels.get(name, logging.NOTSET))
    structlog.reset_defaults()
