"""What is going on, for whoever watches."""

import time


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)  # noqa: T201 this is the output
