"""Cached results of calls: what there is of them, and forgetting them."""
