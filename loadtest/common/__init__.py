"""What the load tests share."""
