"""Everything of one tenant but its secrets, to be taken away."""
