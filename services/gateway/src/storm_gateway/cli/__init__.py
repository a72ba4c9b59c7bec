"""The command line, ``storm``."""

from storm_gateway.cli.main import main

__all__ = ["main"]
