"""Callback addresses: signed, single use, by which an external system sends a run its signal."""
