"""What goes wrong with servers on this machine."""


class StackError(Exception):
    """A server could not be found, started or ended; the message says which, and why."""
