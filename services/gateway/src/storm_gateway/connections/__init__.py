"""The WebSocket edge: one object for each client, no task, timer or queue of its own."""
