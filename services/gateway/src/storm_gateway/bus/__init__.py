"""The bus carries events between nodes. It may lose; the store does not."""
