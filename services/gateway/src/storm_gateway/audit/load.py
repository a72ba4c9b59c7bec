"""The load: many senders and receivers over all nodes, in one process."""


class Load:
    """What a scenario sees of the clients."""

    def __init__(self) -> None:
        self.acked = 0
        """Messages acknowledged so far."""
        self.delivered = 0
        """Durable events received so far, all receivers together, repeats left out."""
        self.connected = 0
        """Clients connected now."""
        self.clients = 0
        """Clients there are."""
        self.outstanding = 0
        """Messages sent whose outcome is not known yet."""

    def connected_to(self, node: str) -> int:
        """Clients connected to the node of that name now."""
        raise NotImplementedError

    def drop_all(self) -> int:
        """Cut the connection of every client at once, without a close frame; how many."""
        raise NotImplementedError
