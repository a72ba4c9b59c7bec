"""What a load test says while it runs."""

import time

_BEGAN = time.monotonic()


def say(text: str) -> None:
    """One line, with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:7.1f} s  {text}", flush=True)  # noqa: T201 this is the output
