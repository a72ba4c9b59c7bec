"""The parts of the test with slow readers."""
