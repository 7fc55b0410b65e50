"""Replays: what runs gave up on is gone on from, one dead letter at a time or a whole group."""
