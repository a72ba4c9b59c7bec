"""What things cost on this machine: a node of its own, a crowd of connections, some seconds."""
