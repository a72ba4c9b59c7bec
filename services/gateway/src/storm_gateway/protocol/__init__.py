"""What travels: WebSocket frames, commands, replies, events, close codes. No I/O, no clock."""
