"""Which migrations this release knows, and which it can not do without."""

SCHEMA = 67
"""The number of the newest."""

NEEDED = 67
"""The number of the newest expanding one: it has to have been applied."""
