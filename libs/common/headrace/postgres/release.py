"""Which migrations this release knows, and which it can not do without."""

SCHEMA = 68
"""The number of the newest."""

NEEDED = 68
"""The number of the newest expanding one: it has to have been applied."""
