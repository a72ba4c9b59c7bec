"""Parts of ``loadtest/swarm.py``."""
