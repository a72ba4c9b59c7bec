"""Logs: one line each, for people on a terminal and as JSON otherwise.

``configure_logging`` is called once, by the command line. Everything, the libraries' loggers
included, goes through the same processors: UTC time, secrets taken out, control characters
escaped. Text that a client chose can therefore not forge a line, and a token that slipped into a
message does not reach the disk.
"""

import logging
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from storm_gateway.config import Config
from storm_gateway.observability.text import escape_control, redact

_SECRET_KEYS = frozenset(
    [
        "access_token",
        "authorization",
        "cookie",
        "jwt_secret",
        "password",
        "refresh_token",
        "secret",
        "set-cookie",
        "ticket",
        "token",
    ]
)
_DEPTH = 6
_NOISY = {
    "websockets": logging.INFO,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "alembic": logging.WARNING,
}
"""Libraries that say too much: below these levels they are silent."""


def configure_logging(config: Config, stream: TextIO | None = None) -> None:
    """Send all logs to ``stream`` (standard error) in the configured format and level.

    With ``node_name`` each record says it. May be called again: the last call holds.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    human = config.log_format == "human" or (config.log_format == "auto" and terminal)
    level = getattr(logging, config.log_level.upper())

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        *([name_node(config.node_name)] if config.node_name else []),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        drop_duplicates,
        clean,
    ]
    if human:
        last.append(
            structlog.dev.ConsoleRenderer(
                colors=terminal, exception_formatter=_write_exception, pad_event_to=32
            )
        )
    else:
        last.append(structlog.processors.ExceptionRenderer(format_exception))
        last.append(structlog.processors.JSONRenderer(default=_clean_text))
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        _give_to_root(logging.getLogger(name))
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(least, level))


def _give_to_root(logger: logging.Logger) -> None:
    logger.handlers = []
    logger.propagate = True


def name_node(node: str) -> structlog.typing.Processor:
    """Every record carries the node's name, as the metrics do, unless it speaks of another."""

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("node", node)
        return event

    return add


def drop_duplicates(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Uvicorn gives its message a second time, with colours."""
    event.pop("color_message", None)
    return event


def clean(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Take secrets out of every field and escape its control characters."""
    return {_clean_text(key): _clean_field(key, value) for key, value in event.items()}


def _clean_field(key: str, value: object) -> object:
    if key.lower() in _SECRET_KEYS:
        return "[removed]"
    # The renderers format it themselves, with the same care (_exception_lines).
    return value if key == "exc_info" else _clean_value(value, _DEPTH)


def _clean_value(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth and isinstance(value, Mapping):
        return {
            _clean_text(key): (
                "[removed]" if str(key).lower() in _SECRET_KEYS else _clean_value(item, depth - 1)
            )
            for key, item in value.items()
        }
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_clean_value(item, depth - 1) for item in value]
    return _clean_text(value)


def _clean_text(value: object) -> str:
    return escape_control(redact(value if isinstance(value, str) else str(value)))


def format_exception(exc_info: ExcInfo) -> str:
    """The traceback as one text; JSON writes its line ends as ``\\n``."""
    return "\n".join(_exception_lines(exc_info))


def _exception_lines(exc_info: ExcInfo) -> Iterable[str]:
    for part in traceback.format_exception(*exc_info):
        for line in redact(part).splitlines():
            yield escape_control(line)


def _write_exception(out: TextIO, exc_info: ExcInfo) -> None:
    # Each line is marked: an exception's text cannot pass for a log line of its own.
    for line in _exception_lines(exc_info):
        out.write(f"\n    | {line}")
