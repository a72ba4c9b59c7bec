"""Logs and metrics: what an operator sees."""
