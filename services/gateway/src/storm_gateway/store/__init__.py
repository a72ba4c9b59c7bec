"""The durable record. What is committed here is acknowledged; nothing else is."""
