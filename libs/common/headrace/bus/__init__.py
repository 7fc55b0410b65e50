"""The message bus: one port, two adapters, and `open` which chooses."""
