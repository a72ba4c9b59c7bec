"""The version, in one place: packaging metadata says what is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("storm-gateway")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0.0.0"
