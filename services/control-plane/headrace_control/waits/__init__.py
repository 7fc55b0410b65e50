"""What waits for somebody: approvals and their decisions, signals, and doubts that a person settles."""
