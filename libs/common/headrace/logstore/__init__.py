"""Log records: one port, two adapters, and what makes both find the same."""
