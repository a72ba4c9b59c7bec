"""Real servers on this machine (NATS, Valkey, PostgreSQL) and nodes, for people without Docker."""
