"""Bare references: the same calls, and the same way of a run through the servers, without a product around them."""
