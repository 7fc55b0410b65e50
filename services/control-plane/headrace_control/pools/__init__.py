"""Runner pools: which there are, whose runs may be in them, and how those that wait get out of one."""
