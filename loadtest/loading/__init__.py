"""The parts of the load test with many k6 processes."""
