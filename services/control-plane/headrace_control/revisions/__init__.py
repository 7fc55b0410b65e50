"""Past states of runs: what a run and its steps were after each of its events."""
