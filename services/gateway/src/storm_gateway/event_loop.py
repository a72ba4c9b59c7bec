"""Event loops of threads: of the store's, and of a proxy."""

import asyncio
import sys


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest that runs here and takes whatever socket it is given."""
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop()
    import uvloop

    return uvloop.new_event_loop()
