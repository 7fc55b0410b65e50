"""Dry runs: the engine walks a version with answers that were declared or recorded, and nothing that could call out."""
