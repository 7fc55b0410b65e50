"""`headrace run`: start, watch, read, pause and cancel runs, and say to them what they wait for."""
