"""The ``storm`` command and its groups."""


def main() -> None:
    """Run the command line."""
