"""Who is online in a channel: users with a connection that subscribes it."""
