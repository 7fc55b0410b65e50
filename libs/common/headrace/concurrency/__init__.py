"""How many runs of a workflow are unfinished at once: turns, and who is admitted next."""
