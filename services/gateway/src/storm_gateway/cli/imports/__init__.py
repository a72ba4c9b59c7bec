"""Readers of other systems' histories. Each yields what it finds; none holds a file in memory."""
