"""The REST edge: HTTP in, actions called, JSON out. The only place that knows FastAPI."""
