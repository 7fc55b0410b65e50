"""Apps, the external APIs, and their actions in immutable revisions."""
