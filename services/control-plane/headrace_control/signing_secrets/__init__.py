"""What the messages of hooks and webhooks are signed with."""
