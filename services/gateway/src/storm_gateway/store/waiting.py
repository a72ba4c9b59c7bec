"""What waits for the writer, and what of it is committed together."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from storm_gateway.errors import StormError
from storm_gateway.store.hot import HOT, Append, Enter
from storm_gateway.store.transaction import Transaction

T = TypeVar("T")


class Write(Generic[T]):
    """Any write that is not hot: a function of the transaction."""

    __slots__ = ("alone", "done", "may_wait", "run")

    def __init__(
        self,
        run: Callable[[Transaction], T],
        done: Callable[[T | StormError], None],
        may_wait: bool = False,
        alone: bool = False,
    ) -> None:
        self.run = run
        self.done = done
        self.may_wait = may_wait
        """Whether messages and joins that came later may be stored before it: it changes nobody's
        rights.
        """
        self.alone = alone
        """Whether it has a transaction for itself, after all others that came with it."""


Waiting = Append | Enter | Write[Any]


def parts(batch: Sequence[Waiting]) -> list[Sequence[Waiting]]:
    """What is committed together. Hot writes gather, past those that may wait; a write that may
    take rights away keeps its place among them.
    """
    found: list[Sequence[Waiting]] = []
    hot: list[Waiting] = []
    late: list[Sequence[Waiting]] = []
    for write in batch:
        if isinstance(write, HOT):
            hot.append(write)
        elif write.may_wait:
            late.append([write])
        else:
            found += [hot, *late, [write]]
            hot, late = [], []
    return [part for part in [*found, hot, *late] if part]


def apart(batch: Sequence[Waiting]) -> list[Sequence[Waiting]]:
    """All together but those that want to be alone."""
    together: list[Waiting] = []
    alone: list[Sequence[Waiting]] = []
    for write in batch:
        if isinstance(write, Write) and write.alone:
            alone.append([write])
        else:
            together.append(write)
    return [part for part in [together, *alone] if part]
