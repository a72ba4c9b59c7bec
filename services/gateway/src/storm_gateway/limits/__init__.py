"""Limits that hold over all nodes, and over this one when the others cannot be asked."""
