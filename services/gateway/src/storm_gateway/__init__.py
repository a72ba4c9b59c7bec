"""STORM: self-hosted real-time messaging, a WebSocket gateway and REST API in pure Python."""
