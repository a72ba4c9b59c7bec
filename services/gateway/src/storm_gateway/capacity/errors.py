"""What can be wrong with a question about capacity."""


class CapacityError(Exception):
    """A target, a calibration or a price table that cannot be used; the text says what to do."""
