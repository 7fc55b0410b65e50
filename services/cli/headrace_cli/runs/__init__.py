"""`headrace run`: start, watch, read and cancel runs."""
