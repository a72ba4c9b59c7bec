"""Delivery on one node: puts each channel in order, encodes once, writes to all subscribers."""
